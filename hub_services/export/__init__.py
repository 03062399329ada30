"""Export: people take their files with them, whether their workspace runs or not."""
