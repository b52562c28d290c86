"""The geometry between source images and the network's input."""
