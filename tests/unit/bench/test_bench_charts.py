from itertools import combinations

from e2pose.bench.charts import _label_points
from e2pose.evaluation.charts import new_figure


def test_labels_of_close_points_do_not_overlap() -> None:
    points = {"one": (10.0, 30.0), "another": (10.4, 30.5), "a third": (10.2, 29.5), "alone": (50.0, 60.0)}
    axes = new_figure().subplots()
    axes.set(xlim=(0, 80), ylim=(0, 80))
    _label_points(axes, points)
    names = {text.get_text(): text for text in axes.texts}
    assert names.keys() == points.keys()
    assert {name: text.xy for name, text in names.items()} == points
    extents = [text.get_window_extent() for text in names.values()]
    assert not any(one.overlaps(other) for one, other in combinations(extents, 2))
    assert not any(
        extent.contains(*point) for extent in extents for point in axes.transData.transform([*points.values()])
    )
    assert names["alone"].xyann[1] > 0  # above, the preferred place
