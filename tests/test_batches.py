"""What a batch asks of its examples changes with the epoch in training and never in validation."""

from captioning.batches import Examples
from captioning.example import Example
from captioning.tasks.captioning.task import Captioning
from captioning.text.vocabulary import Vocabulary

WORDS = [f"word{i}" for i in range(12)]


class Nothing:
    """A store and an encoder of nothing."""

    def read(self, ids):
        return None


def rows(vary: bool, epoch: int) -> list:
    task = Captioning(decoder={}, generation={}, captions_per_image=3, seed=4)
    task.vocabulary = Vocabulary(WORDS)
    examples = [Example(i, "", tuple(WORDS[i:] + WORDS[:i])) for i in range(4)]
    data = Examples(examples, None, Nothing(), Nothing(), task.targets, vary=vary)
    return data.collate([(epoch, example) for example in examples]).targets.tolist()


def test_of_many_captions_training_takes_others_in_each_epoch_and_the_same_again_in_the_same():
    assert rows(True, 1) == rows(True, 1) != rows(True, 2)


def test_validation_is_over_the_same_captions_in_every_epoch():
    assert rows(False, 0) == rows(False, 1) == rows(False, 7)
