"""GPT-2's alphabet: every byte has a visible character, so that tokens of raw bytes can be written as text."""


def _alphabet() -> list[str]:
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)}
    # The bytes that would print as nothing (controls, spaces, the soft hyphen) move up to U+0100 and on.
    moved = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(moved)) for byte in range(256)]


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
