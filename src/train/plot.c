/* The loss over the steps as SVG: a thin line of every step (of at most COLUMNS runs of steps, by
 * their mean), a smooth one over it, and dots where held-out data was read. The vertical axis
 * leaves out the first steps of a run, which fall from far above. */
#include <math.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "train/metrics.h"

#define WIDTH   800.0
#define HEIGHT  440.0
#define LEFT    62.0
#define RIGHT   18.0
#define TOP     24.0
#define BOTTOM  46.0
#define COLUMNS 720

typedef struct Axes {
    double x0, x1, y0, y1;
} Axes;

static double across(const Axes *a, double x)
{
    return LEFT + (x - a->x0) / (a->x1 - a->x0) * (WIDTH - LEFT - RIGHT);
}

static double down(const Axes *a, double y)
{
    double part = (y - a->y0) / (a->y1 - a->y0);
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM);
}

/* 1, 2 or 5 times a power of ten, so that about `n` of them fit. */
static double spacing(double range, double n)
{
    double raw = range / n, power = pow(10, floor(log10(raw))), digit = raw / power;
    return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

static void reach(Axes *a, const PlotPoint *p, size_t n, size_t from)
{
    for (size_t i = from; i < n; i++) {
        if (!isfinite(p[i].y)) continue;
        if (p[i].y < a->y0) a->y0 = p[i].y;
        if (p[i].y > a->y1) a->y1 = p[i].y;
    }
}

static Axes find_axes(const PlotPoint *loss, size_t n, const PlotPoint *eval, size_t n_eval)
{
    Axes a = {0, 1, INFINITY, -INFINITY};
    if (n) a.x1 = loss[n - 1].x;
    if (n_eval && eval[n_eval - 1].x > a.x1) a.x1 = eval[n_eval - 1].x;
    reach(&a, loss, n, n / 50);
    reach(&a, eval, n_eval, 0);
    if (!(a.y1 >= a.y0)) a.y0 = 0, a.y1 = 1;
    if (a.x1 <= a.x0) a.x1 = a.x0 + 1;
    double step = spacing(a.y1 - a.y0 > 1e-9 ? a.y1 - a.y0 : 1e-9, 5);
    a.y0 = floor(a.y0 / step) * step;
    a.y1 = ceil(a.y1 / step) * step;
    if (a.y1 <= a.y0) a.y1 = a.y0 + step;
    return a;
}

static void grid(Buf *b, const Axes *a)
{
    double sy = spacing(a->y1 - a->y0, 5), sx = spacing(a->x1 - a->x0, 6);
    for (double y = a->y0; y <= a->y1 + sy / 2; y += sy) {
        buf_printf(b, "<path class=\"g\" d=\"M%.1f %.1fH%.1f\"/>\n", LEFT, down(a, y),
                   WIDTH - RIGHT);
        buf_printf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n", LEFT - 8,
                   down(a, y) + 4, fabs(y) < sy / 1e6 ? 0 : y);
    }
    for (double x = 0; x <= a->x1 + sx / 1e6; x += sx)
        buf_printf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.6g</text>\n",
                   across(a, x), HEIGHT - BOTTOM + 20, x);
    buf_printf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">step</text>\n",
               (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8);
}

static void line(Buf *b, const Axes *a, const PlotPoint *p, size_t n, double keep,
                 const char *class)
{
    size_t run = (n + COLUMNS - 1) / COLUMNS, drawn = 0;
    double smooth = NAN;
    buf_printf(b, "<path class=\"%s\" d=\"", class);
    for (size_t i = 0; i < n; i += run ? run : 1) {
        double x = 0, y = 0;
        size_t some = 0;
        for (size_t j = i; j < n && j < i + run; j++) {
            if (!isfinite(p[j].y)) continue;
            smooth = isnan(smooth) ? p[j].y : keep * smooth + (1 - keep) * p[j].y;
            x += p[j].x;
            y += keep > 0 ? smooth : p[j].y;
            some++;
        }
        if (!some) continue;
        buf_printf(b, "%s%.1f %.1f", drawn++ ? "L" : "M", across(a, x / (double)some),
                   down(a, y / (double)some));
    }
    buf_text(b, "\"/>\n");
}

char *plot_svg(const PlotPoint *loss, size_t n, const PlotPoint *eval, size_t n_eval)
{
    Buf b = {0};
    Axes a = find_axes(loss, n, eval, n_eval);
    buf_printf(&b,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
               "font-family=\"sans-serif\" font-size=\"12\">\n"
               "<title>Loss over the steps of training</title>\n"
               "<style>svg{background:#fff}text{fill:#444}path{fill:none}.g{stroke:#e4e4e4}"
               ".r{stroke:#b9cdea}.s{stroke:#1f5fb0;stroke-width:2}.e{fill:#c2410c}</style>\n",
               WIDTH, HEIGHT);
    grid(&b, &a);
    line(&b, &a, loss, n, 0, "r");
    line(&b, &a, loss, n, n > 200 ? 0.98 : 0.9, "s");
    for (size_t i = 0; i < n_eval; i++)
        if (isfinite(eval[i].y))
            buf_printf(&b, "<circle class=\"e\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n",
                       across(&a, eval[i].x), down(&a, eval[i].y));
    buf_printf(&b, "<text x=\"%.1f\" y=\"15\">loss (nats a token)%s</text>\n</svg>\n", LEFT,
               n_eval ? "; dots: held-out data" : "");
    return buf_take(&b);
}
