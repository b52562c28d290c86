import pickle

from e2pose.cli.train import Bar


def test_a_bar_travels_to_the_process_that_trains_and_prints_lines_above_itself(capsys):
    bar = pickle.loads(pickle.dumps(Bar()))
    bar.tell("before [the] bar")
    bar.step(3, 10)
    bar.tell("above [the] bar")
    bar.step(4, 10)
    assert bar._bar.tasks[0].completed == 4
    assert bar._bar.tasks[0].total == 10
    bar.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.index("before [the] bar") < captured.err.index("above [the] bar")


def test_a_bar_that_never_moved_can_be_closed():
    Bar().close()
