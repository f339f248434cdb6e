"""Recordings of your own: poses in the files that detectors, sensors and other projects write, of any layout."""
