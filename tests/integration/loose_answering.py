"""What answers questions, with the kernel's safeguard taken away. Run as a program."""

from services.recorder.queries import answering

if __name__ == "__main__":
    answering.die_with_parent = lambda: None  # type: ignore[attr-defined]
    answering.main()
