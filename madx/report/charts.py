"""Charts as SVG: one heat map of targets x methods for each task."""

from madx.scores.matrix import Matrix


def heat_map(matrix: Matrix) -> str:
    """Colour: the score in percent; the number stands in each cell."""
    import altair as alt
    import vl_convert

    table = matrix.table()
    long = table.stack().rename("score").reset_index()
    long.columns = ["target", "method", "score"]
    low, high = float(long["score"].min()), float(long["score"].max())
    base = alt.Chart(long).encode(
        x=alt.X("method:N", sort=matrix.methods, title=None, axis=alt.Axis(labelAngle=-30, orient="top")),
        y=alt.Y("target:N", sort=list(table.index), title=None),
    )
    cells = base.mark_rect().encode(
        color=alt.Color("score:Q", title=matrix.metric, scale=alt.Scale(scheme="viridis", domain=[low, high]))
    )
    numbers = base.mark_text(fontSize=11).encode(
        text=alt.Text("score:Q", format=".1f"),
        color=alt.condition(alt.datum.score > low + 0.6 * (high - low), alt.value("black"), alt.value("white")),
    )
    chart = (cells + numbers).properties(width=72 * len(matrix.methods), height=22 * len(table))
    return vl_convert.vegalite_to_svg(chart.to_json())  # type: ignore[no-any-return]
