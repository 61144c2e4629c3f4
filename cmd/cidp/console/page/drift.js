// The section on drift: whether the model still sees what it was trained with. It asks on its own, since nothing here changes by the second.

const EVERY = 30e3;
const FULL = 0.5; // index at which a bar is full; the limits' lines in drift.css stand at 0.1 and 0.25 of it
const SHOWN = 6;

const FEATURES = {
  kind_code: 'kind of component', mean_c: 'mean temperature', max_c: 'highest temperature', min_c: 'lowest temperature',
  std_c: 'spread', last_c: 'last temperature', slope_c_per_min: 'slope per minute', short_long_c: 'last quarter over the mean',
  ambient_mean_c: 'ambient', over_ambient_c: 'above ambient', speed_mean_kmh: 'speed', load_mean_t: 'load',
  brake_share: 'share of braking', rise_baseline_c: 'above its own baseline', peer_diff_c: 'above its peers',
  peer_z: 'distance from its peers', mate_diff_c: 'above its mate', heading_over_ambient_c: 'heading to, above ambient',
  completeness: 'completeness', suspect_share: 'share of suspect readings',
};
const MOODS = { unknown: 'not known yet', steady: 'steady', watch: 'watch', look: 'look' };

// watchDrift fills a box, again and again while the page is seen. tools are those of console.js.
export function watchDrift(box, tools) {
  const ask = async () => {
    if (document.hidden) return;
    try {
      const r = await fetch('api/v1/drift');
      const d = await r.json();
      if (!r.ok) throw new Error(d.error);
      box.replaceChildren(...draw(d, tools));
    } catch (e) {
      box.replaceChildren(tools.el('p', 'empty', 'This could not be read: ' + e.message));
    }
  };
  ask();
  setInterval(ask, EVERY);
  document.addEventListener('visibilitychange', ask);
}

// draw gives the section's parts.
function draw(d, { el, svg, moment, count }) {
  const mood = (state) => el('span', 'mood ' + (state in MOODS ? state : 'unknown'), MOODS[state] ?? state);
  const out = [el('p', 'said', mood(d.state), el('span', '', d.why))];
  const all = [{ ...d.score, name: 'probability of failure' }, ...d.features.map((f) => ({ ...f, name: FEATURES[f.feature] ?? f.feature }))].filter((f) => f.psi != null);
  if (all.length) {
    const [score, ...rest] = all;
    const shown = [score, ...rest.toSorted((a, b) => b.psi - a.psi).slice(0, SHOWN)];
    const rows = el('div', 'rows');
    for (const f of shown) {
      const bar = el('i', '');
      bar.style.width = Math.min(100, (100 * f.psi) / FULL) + '%';
      const psi = el('span', 'psi ' + f.state, bar);
      psi.title = 'stability index ' + f.psi.toFixed(3) + ': ' + f.state + '\nmissing ' + percent(f.missing_share) + ', in training ' + percent(f.missing_share_training);
      rows.append(el('span', '', f.name), psi, el('b', '', f.psi >= 10 ? f.psi.toFixed(0) : f.psi.toFixed(2)));
    }
    out.push(rows);
    if (all.length > shown.length) out.push(el('p', 'note', el('small', '', 'and ' + (all.length - shown.length) + ' features that have moved less')));
  }
  if (d.brier.hours.length) out.push(brier(d.brier, mood, el, svg));
  if (d.windows) {
    out.push(el('p', 'note', el('small', '', count(d.windows) + ' windows, ', moment(d.from), ' to ', moment(d.to), ', beside training: from ' + d.watch_from + ' on watch, from ' + d.look_from
      + ' on look. Nothing is switched off.')));
  }
  return out;
}

const percent = (v) => (v == null ? '–' : (100 * v).toFixed(v && v < 0.1 ? 1 : 0) + ' %');

// brier draws the hourly score, as far as workshops have told.
function brier(b, mood, el, svg) {
  const most = Math.max(...b.hours.map((h) => h.brier), 1e-6);
  const t0 = Date.parse(b.hours[0].at), span = Math.max(Date.parse(b.hours.at(-1).at) - t0, 1);
  const points = b.hours.map((h) => ((300 * (Date.parse(h.at) - t0)) / span).toFixed(1) + ' ' + (34 - (32 * h.brier) / most).toFixed(1));
  const newest = b.hours.at(-1).brier;
  return el('div', 'brier', el('p', 'said', mood(b.state), el('span', '', 'Brier score ' + newest.toFixed(4) + ': ' + b.why)),
    svg('svg', { viewBox: '0 0 300 36', preserveAspectRatio: 'none', role: 'img', 'aria-label': 'Brier score by the hour' },
      svg('path', { d: 'M' + points.join('L') + (points.length > 1 ? '' : 'h.1') })));
}
