"""Pictures: drawing them as PNG or SVG, a training's curves, a data set's lengths and axes."""
