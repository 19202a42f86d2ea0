"""The monitoring page inside Airflow's UI."""
