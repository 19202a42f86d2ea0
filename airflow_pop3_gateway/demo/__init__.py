"""The tour: the whole way of a mail on one machine, with servers nobody here wrote, and Airflow itself."""
