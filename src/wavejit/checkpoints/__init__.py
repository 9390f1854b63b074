"""Models on disk: the native folder, and an importer a file for others' formats."""
