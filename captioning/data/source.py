"""What every set of captioned pictures looks like to the rest of the framework."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from captioning.errors import UserError
from captioning.example import Example

if TYPE_CHECKING:
    from PIL.Image import Image

    from captioning.data.download.archives import Archive
    from captioning.media.clip import Clip
    from captioning.media.depth_map import DepthMap
    from captioning.media.sound import Sound


class Source:
    """A benchmark, a user's table or a generated world: examples by split, and their pixels.

    A subclass implements `examples`, and `image` or `clip` or both. Ids are unique within a source. `official` maps a
    split to its number of examples where scores are compared, `archives` are what `captioning data download` fetches,
    and `by_hand` is a sentence on how to get what has no fixed address.
    """

    name: str
    splits: tuple[str, ...] = ("train", "val", "test")
    things: str = "pictures"  # what a table of scores calls its examples
    metrics: tuple[str, ...] = ("bleu", "meteor", "rouge", "cider", "spice")  # of its table, where nobody says
    official: Mapping[str, int] = {}
    archives: tuple[Archive, ...] = ()
    by_hand: str = ""
    location: str = ""  # where pictures come from that are no files in a folder, for people
    buffer: int = 1000  # examples that are shuffled with each other, where they lie in `blocks`
    has_texts: bool = False  # whether some examples have captions and no picture: their `file` is empty

    def examples(self, split: str) -> list[Example]:
        """All examples of a split, in a fixed order. Raises UserError for an unknown or empty split."""
        raise NotImplementedError

    def image(self, example: Example) -> Image:
        """The picture as RGB. Raises UserError naming the file that cannot be read, or a source that has clips only."""
        raise UserError(f"{self.name} has clips and no photos. Choose an encoder of clips, such as encoder=frames.")

    def clip(self, example: Example) -> Clip:
        """The clip, of which nothing is opened yet. Raises UserError where the source has photos only."""
        raise UserError(f"{self.name} has photos and no clips. Choose an encoder of photos, such as encoder=grid.")

    def sound(self, example: Example) -> Sound:
        """What is heard, of which nothing is read yet. Raises UserError where the source has no sounds."""
        raise UserError(f"{self.name} has no sounds. Choose a source of sounds, such as data=esc10.")

    def depth(self, example: Example) -> DepthMap:
        """How far away everything is, of which nothing is read yet. Raises UserError where nobody measured it."""
        raise UserError(f"{self.name} has no depth. Choose a source of depth, such as data=nyu_depth.")

    def place(self) -> str:
        """Where the pictures come from, for a cache to be kept apart from those of others of the same name."""
        return ""

    def blocks(self, examples: Sequence[Example]) -> Sequence[Hashable] | None:
        """What each example lies in together with others, for these to be read one after the other. None: nothing."""
        return None

    def fingerprint(self, example: Example) -> str | None:
        """What tells a picture from any other without reading it, None where nothing does.

        By default the source's class and name and the example's id and file: a source whose pictures change under
        these has to say so here.
        """
        kind = type(self)
        return f"{kind.__module__}.{kind.__qualname__} {self.name} {example.id!r} {example.file}"

    def content(self, example: Example) -> str | None:
        """What tells a picture from any other wherever it lies, None where nothing does. May read it."""
        return self.fingerprint(example)

    def distinct(self, examples: Sequence[Example]) -> list[Example]:
        """Each picture of `examples` once, whatever views of it there are: what words and answers are counted in."""
        return list(examples)

    def readable(self, examples: Sequence[Example], *, decode: bool = False) -> list[Example]:
        """The examples whose picture can be read: all of them, where pictures do not come from files.

        A source of photos opens each header, or with `decode` each whole file, and deals with the unreadable as it is
        told to: raises UserError, or leaves them out and says so.
        """
        return list(examples)
