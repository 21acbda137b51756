"""Under its name in the course; elsewhere it is ``castline-workload``."""

from castline.workload_generator.cli import app

if __name__ == "__main__":
    app()
