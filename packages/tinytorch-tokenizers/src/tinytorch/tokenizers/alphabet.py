"""GPT-2's alphabet: every byte has a visible character, so that tokens of raw bytes can be written as text."""

from itertools import count


def _alphabet() -> list[str]:
    hidden = {
        *range(ord("!")),
        *range(0x7F, 0xA1),
        0xAD,
    }  # controls, spaces and the soft hyphen, which print as nothing
    moved = count(0x100)
    return [chr(next(moved) if byte in hidden else byte) for byte in range(256)]


BYTE_TO_CHAR = _alphabet()
CHAR_TO_BYTE = {char: byte for byte, char in enumerate(BYTE_TO_CHAR)}


def spell(data: bytes) -> str:
    """Write bytes as one visible character each, as `vocab.json` and `tokenizer.json` do.

    >>> spell(b" the")
    'Ġthe'
    """
    return "".join([BYTE_TO_CHAR[byte] for byte in data])


def unspell(token: str) -> bytes:
    """The bytes that `spell` wrote; a token with a character outside the alphabet stands for its own UTF-8.

    >>> unspell("Ġthe")
    b' the'
    """
    try:
        return bytes([CHAR_TO_BYTE[char] for char in token])
    except KeyError:
        return token.encode()
