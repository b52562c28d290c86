"""`e2pose models`: lists the models that can be used by name."""

from __future__ import annotations


def models() -> None:
    """List the models that can be used by name."""
    from e2pose.zoo.authors import read_authors_models
    from e2pose.zoo.catalogue import read_catalogue

    entries, default = read_catalogue()
    rows: list[tuple[str, ...]] = [("NAME", "INPUT SIZE", "PARAMETERS", "GMACS", "AP", "LICENCE", "FILE")]
    for name, entry in entries.items():
        rows.append(
            (
                f"{name} (default)" if name == default else name,
                "x".join(map(str, entry.input_size_hw)),
                f"{entry.parameters_m:.1f} M",
                f"{entry.gmacs:.2f}",
                f"{entry.coco_val_ap:.1f}",
                entry.licence,
                "bundled" if entry.is_bundled else "downloaded on first use",
            )
        )
    _print_table(rows)

    rows = [("NAME", "INPUT SIZE", "LICENCE", "URL", "SHA-256")]
    for model in read_authors_models().values():
        digest = model.sha256 or "recorded at first download"
        rows.append((model.name, "x".join(map(str, model.input_size_hw)), "Apache-2.0", model.url, digest))
    print("\nModels of the original E2Pose authors, to convert with: e2pose convert NAME OUTPUT")
    _print_table(rows)


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
