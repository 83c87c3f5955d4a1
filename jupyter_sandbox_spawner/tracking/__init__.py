"""The tracking program: one MLflow server for all people, a workspace each, behind a guard of ours.

Law: only `app.py` and `artifacts.py` know MLflow, and import it when the program runs.
"""

__all__: list[str] = []
