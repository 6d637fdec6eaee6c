"""Stage: bundle + scenes -> maps and tables, one folder a scene.

    OUT/SCENE/  classes.tif  probabilities.tif  tiles.parquet  prediction.json

A folder appears when its scene is done, whole or not at all, so a run that was stopped goes on with the next.
"""
