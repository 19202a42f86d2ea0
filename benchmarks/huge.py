def main(scale: float) -> int:
    return 0
