"""From cookie bytes to a session and back: cryptography, serialisation, chunks, cookies. No I/O, no clock."""
