import pickle

from e2pose.cli.train import ProgressBar


def test_bar_can_be_pickled_and_prints_messages_above_itself(capsys):
    bar = pickle.loads(pickle.dumps(ProgressBar()))
    bar.message("before [the] bar")
    bar.step(3, 10)
    bar.message("above [the] bar")
    bar.step(4, 10)
    assert bar._bar.tasks[0].completed == 4
    assert bar._bar.tasks[0].total == 10
    bar.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.index("before [the] bar") < captured.err.index("above [the] bar")


def test_bar_that_never_moved_can_be_closed():
    ProgressBar().close()
