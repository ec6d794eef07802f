"""How large the parts are into which a state is cut."""

SPLIT_BYTES = 8 * 1024
"""A container of more is cut into its values."""
BLOCK_BYTES = 64 * 1024
"""A block of more is cut into its values."""
BLOB_BYTES = 16 * 1024
"""Bytes of at least so many are a blob."""
KNOWN_BYTES = 512
"""Text and bytes of at least so many are known again by their object, without looking at them."""
WIDE, WIDEST = 64, 1024
"""Values of a block, at least and at most."""
BLOCK_TARGET = 4 * 1024
"""Bytes that a block has, as far as that many values allow."""
FEW = 1024
"""Values of a container that have a leaf each, however small they are."""
WORTH_A_LEAF = 512
"""Bytes that the values of a wider one have on average, if each is to have a leaf."""
