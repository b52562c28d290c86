"""`e2pose models`: what can be used by name."""

from __future__ import annotations


def models() -> None:
    """List the models that can be used by name."""
    from e2pose.zoo.authors import read_authors_models
    from e2pose.zoo.catalog import read_catalog

    entries, default = read_catalog()
    rows = [("NAME", "CANVAS", "PARAMETERS", "GMACS", "AP", "LICENCE", "WHERE")]
    for name, entry in entries.items():
        height, width = entry.size_hw
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
    for model in read_authors_models().values():
        height, width = model.size_hw
        rows.append((model.name, f"{height}x{width}", "", "", "", "Apache-2.0", f"e2pose convert {model.name} FILE"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
