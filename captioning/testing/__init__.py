"""Laws that parts of one's own can be held to, as those of this package are. Needs no test framework."""

from captioning.testing.decoder_laws import DECODER_LAWS, check_decoder
from captioning.testing.small_memories import captions, memory

__all__ = ["DECODER_LAWS", "captions", "check_decoder", "memory"]
