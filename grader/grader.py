"""Under its name in the course; elsewhere it is ``castline-grader``."""

from castline.grader.cli import app

if __name__ == "__main__":
    app()
