"""What the rules run, in a module for each file of rules: functions that read files, call the core, write files."""
