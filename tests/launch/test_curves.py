"""The picture of a job: what it measured once is seen too."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from swath.launch.sagemaker.curves import _figure

ROW = {"minutes": 0.0, "step": 1.0, "loss": 2.0, "lr": 1e-3, "cpu_percent": 50.0, "process_mib": 1000.0}


def test_every_panel_of_a_job_that_has_said_one_line_shows_its_point():
    figure = _figure("job", [ROW])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[:, :, :3].astype(int)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_lines()}
    assert set(panels) == {"loss", "learning rate", "use, %", "memory, MiB"}
    for axes in panels.values():
        x, y = axes.transData.transform(axes.get_lines()[0].get_xydata()[0])
        around = picture[round(len(picture) - y) - 1, round(x)]
        assert around.max() - around.min() > 50, "a point in colour"
    assert panels["use, %"].get_ylim() == (0, 102)
