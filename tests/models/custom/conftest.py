# It registers its model when it runs, so only a test that loads it may run it.
collect_ignore = ["tutorial_model.py"]
