"""The public API's own objects: data sets, models, views and runs as Python sees them. `skelpipe` itself names them."""
