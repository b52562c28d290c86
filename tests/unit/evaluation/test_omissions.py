from dataclasses import replace

from e2pose.core.annotations import Omission
from e2pose.evaluation.evaluate import evaluate_results
from e2pose.evaluation.omissions import find_omissions
from helpers.labels import make_annotations, make_image, make_person


def spoiled():
    crowd, unlabelled, flat = make_person(is_crowd=True), make_person(visibility=[0] * 17), make_person(area=0.0)
    images = make_image(1, make_person(), crowd), make_image(2, unlabelled, unlabelled, flat)
    reader = Omission("annotations", "the category is not listed", 7, "annotation 3")
    return replace(make_annotations(*images), omitted=(reader,))


def test_annotations_that_do_not_count_are_counted_by_reason():
    assert [(one.what, one.count, one.example) for one in find_omissions(spoiled())] == [
        ("annotations", 7, "annotation 3"),
        ("persons", 1, "1.png"),
        ("persons", 2, "2.png"),
        ("persons", 1, "2.png"),
    ]
    assert find_omissions(make_annotations(make_image(1, make_person()))) == ()


def test_result_of_an_evaluation_contains_them():
    result = evaluate_results([], spoiled())
    assert result.omitted == find_omissions(spoiled())
    assert [entry["count"] for entry in result.to_record()["omitted"]] == [7, 1, 2, 1]
