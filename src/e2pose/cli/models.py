"""`e2pose models`: what can be used by name."""

from __future__ import annotations


def models() -> None:
    """List the models that can be used by name."""
    from e2pose.zoo.catalogue import read_catalogue

    entries, default = read_catalogue()
    rows: list[tuple[str, ...]] = [("NAME", "CANVAS", "PARAMETERS", "GMACS", "AP", "LICENCE", "WHERE")]
    for name, entry in entries.items():
        height, width = entry.input_size_hw
        rows.append(
            (
                f"{name} (default)" if name == default else name,
                f"{height}x{width}",
                f"{entry.parameters_m:.1f} M",
                f"{entry.gmacs:.2f}",
                f"{entry.coco_val_ap:.1f}",
                entry.licence,
                "bundled" if entry.is_bundled else "fetched when used",
            )
        )
    show(rows)
    print("\nThe original authors' models, of which e2pose convert NAME FILE makes one of ours")
    show(authors_models())


def authors_models() -> list[tuple[str, ...]]:
    """What is known of them, below a headline."""
    from e2pose.zoo.authors import read_authors_models

    rows: list[tuple[str, ...]] = [("NAME", "CANVAS", "LICENCE", "ADDRESS", "SHA-256")]
    for model in read_authors_models().values():
        height, width = model.input_size_hw
        digits = model.sha256 or "recorded when fetched"
        rows.append((model.name, f"{height}x{width}", "Apache-2.0", model.url, digits))
    return rows


def show(rows: list[tuple[str, ...]]) -> None:
    """Prints a table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
