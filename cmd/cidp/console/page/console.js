// The console's page. Names and texts come from outside the platform: they are put in as text nodes, never parsed as markup.
import { watchDrift } from './drift.js';

// Order of this file: texts, small tools, what is known, the stream, the page's parts, the dialog.

const LEVELS = ['critical', 'alarm', 'watch', 'quarantined', 'unknown', 'normal']; // worst first
const LEVEL_HELP = {
  critical: 'Act now: the machine is likely to fail.', alarm: 'Plan an intervention.', watch: 'Keep an eye on it.',
  quarantined: 'The newest data of the sensor was refused, so nothing was predicted from it.',
  unknown: 'No window has closed yet.', normal: 'Nothing stands out.',
};
const REASONS = {
  incomplete: 'too few readings', gap: 'too long without a reading', out_of_range: 'outside what is physically possible',
  flatline: 'the value does not move', spikes: 'too many sudden jumps', rate_of_change: 'changes faster than the part can',
  peer_disagreement: 'disagrees with like sensors', sensor_drift: 'drifts away slowly', fouling: 'dirt dulls the sensor', swapped: 'changed places with its mate',
  failsafe_open: 'the asset’s data is too poor to be scored',
  too_large: 'message too large', unknown_topic: 'topic not known', bad_name: 'site, asset or sensor name not allowed',
  malformed: 'not readable JSON', missing_field: 'a required field is missing', not_finite: 'not a finite number',
  bad_time: 'time not readable', future: 'time ahead of the clock', too_old: 'time too long ago', duplicate: 'sent before',
  conflict: 'same time, another value: the first one was kept', late: 'its window had closed',
};
const SPARK = 120; // samples in the sparkline
const MANY = 60; // assets beyond which those without trouble are folded away
const STEP = 300; // cards shown or added at once
const CHIPS = 24; // sensors without trouble of one asset beyond which they are folded away
const REST = 2 * 60e3; // a page hidden for so long gives its stream back

// Small tools.

const $ = (id) => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';

function el(tag, cls, ...kids) {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  e.append(...kids);
  return e;
}

function svg(tag, attrs, ...kids) {
  const e = document.createElementNS(SVG, tag);
  for (const k in attrs) e.setAttribute(k, attrs[k]);
  e.append(...kids);
  return e;
}

// text writes only what differs, so that a selection survives and nothing is laid out in vain.
function text(e, s) {
  if (e.textContent !== s) e.textContent = s;
  return e;
}

const shape = (level) => svg('svg', { class: 'shape ' + level, 'aria-hidden': 'true' }, svg('use', { href: '#' + level }));
const collate = new Intl.Collator('en', { numeric: true }).compare; // axle2 before axle10
const known = (level) => (LEVELS.includes(level) ? level : 'unknown');
const rank = (level) => LEVELS.indexOf(known(level));
const count = (n) => (n ?? 0).toLocaleString('en-GB');
const share = (p) => (p == null ? '–' : p > 0 && p < 0.01 ? '<1 %' : Math.floor(p * 100) + ' %'); // 100 % is never rounded up to
const degrees = (v) => (v == null ? '–' : v.toFixed(1) + ' °C');
const ms = (t) => (t ? Date.parse(t) : 0);
const perSecond = (v) => (v == null ? '–' : v >= 100 ? count(Math.round(v)) : v.toFixed(v >= 10 || v === 0 ? 0 : 1));

function span(t) {
  const s = Math.max(0, Math.round(t / 1000));
  if (s < 60) return s + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' min';
  if (s < 172800) return Math.floor(s / 3600) + ' h ' + Math.floor((s % 3600) / 60) + ' min';
  return Math.floor(s / 86400) + ' days';
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });

// moment is a local time, with its day unless that is today; the pointer gets UTC.
function moment(iso, cls) {
  const e = el('time', cls);
  if (!iso) return text(e, '–');
  const d = new Date(iso);
  e.dateTime = iso;
  e.title = iso;
  return text(e, (day.format(d) === day.format(new Date()) ? '' : day.format(d) + ' ') + clock.format(d));
}

// What is known.

const keyOf = (a) => a.site + '/' + a.asset; // names have no slash
const now = { summary: null, assets: new Map(), newest: 0, rates: [], filter: '', find: '', extra: 0, due: false };
const cards = new Map(); // key -> card on the page

function take(s, whole) {
  if (whole) {
    now.assets.clear();
    now.newest = 0;
  }
  for (const a of s.assets) {
    a.sensors.sort((x, y) => rank(x.level) - rank(y.level) || collate(x.sensor, y.sensor));
    now.assets.set(keyOf(a), a);
    for (const x of a.sensors) now.newest = Math.max(now.newest, ms(x.window_end));
  }
  for (const k of s.removed ?? []) now.assets.delete(keyOf(k));
  now.summary = s;
  now.rates.push(s.rates.readings_per_s ?? 0);
  if (now.rates.length > SPARK) now.rates.shift();
  later();
}

// later renders once before the next picture. A hidden page has no pictures, and must not do all of them when it is seen again.
function later() {
  if (now.due) return;
  now.due = true;
  requestAnimationFrame(() => { now.due = false; render(); });
}

// silent says for how long a sensor has given no window while others did; '' while that is nothing unusual. Event times are
// compared with event times: in a replay the wall clock says nothing.
function silent(x) {
  const end = ms(x.window_end);
  const behind = now.newest - end;
  if (!end || behind < Math.max(30 * 60e3, 15 * (end - ms(x.window_start)))) return '';
  return span(behind);
}

// The stream.

const link = { source: null, at: 0, perf: 0, every: 1000, trouble: '', rest: 0, again: 0 };

function connect() {
  clearTimeout(link.again);
  link.source?.close();
  const s = new EventSource('api/v1/stream');
  link.source = s;
  const fresh = (whole) => (e) => {
    const data = JSON.parse(e.data);
    Object.assign(link, { at: Date.now(), perf: performance.now(), every: data.every_ms, trouble: '' });
    take(data, whole);
    pulse();
  };
  s.addEventListener('snapshot', fresh(true));
  s.addEventListener('change', fresh(false));
  s.addEventListener('fault', (e) => { link.trouble = JSON.parse(e.data).error; pulse(); });
  s.onerror = () => {
    link.trouble = 'the connection to the platform is lost';
    if (s.readyState === EventSource.CLOSED) { // refused: the browser does not try again by itself
      link.trouble = 'the platform refused the live stream (too many viewers, or reload the page to sign in)';
      link.again = setTimeout(connect, 5000);
    }
    pulse();
  };
}

// pulse shows the age of what is on the page. The larger of two clocks counts: one stands still while the machine sleeps.
function pulse() {
  if (!link.at) {
    text($('live'), link.trouble || 'waiting for the first data');
    return;
  }
  const age = Math.max(performance.now() - link.perf, Date.now() - link.at);
  const stale = age > Math.max(4000, 3 * link.every);
  text($('live'), (stale ? 'NOT LIVE · ' : 'Live · ') + 'updated ' + span(age) + ' ago');
  $('live').classList.toggle('stale', stale);
  $('main').classList.toggle('stale', stale);
  $('lost').hidden = !stale;
  $('detail-lost').hidden = !stale; // the dialog covers the other one
  if (stale) {
    const why = link.trouble || 'no news from the platform';
    text($('lost'), 'NOT LIVE: ' + why + '. What you see is ' + span(age) + ' old (' + clock.format(link.at) + '). Trying again.');
    text($('state'), 'unknown');
    $('state').className = 'pill wait';
  }
  const active = now.summary?.counts.alerts_active ?? 0;
  document.title = stale ? 'NOT LIVE · CIDP' : (active ? '(' + active + ') ' : '') + 'CIDP console';
}

// A browser allows six connections to one host: a page that nobody sees gives its own back.
function onVisibility() {
  clearTimeout(link.rest);
  if (document.hidden) link.rest = setTimeout(() => { link.source.close(); link.trouble = 'the page was in the background'; }, REST);
  else if (link.source.readyState === EventSource.CLOSED) connect();
}

// The page's parts.

function render() {
  const s = now.summary;
  if (!s) return;
  $('main').classList.remove('waiting');
  renderStatus(s);
  renderRate(s.rates);
  renderLedger(s.ledger, s.rates);
  renderTotals(s.counts);
  renderLevels(s.levels);
  renderAlerts(s);
  renderQuarantine(s.quarantine);
  followModels(s.status.model);
  renderFleet();
  if (view) view.follow?.();
  pulse(); // old data stays marked as old, whatever made the page render
}

function pairs(dl, list) {
  while (dl.childElementCount > list.length) dl.lastElementChild.remove();
  while (dl.childElementCount < list.length) dl.append(el('div', '', el('dt'), el('dd')));
  list.forEach(([name, value, title], i) => {
    const [dt, dd] = dl.children[i].children;
    text(dt, name);
    text(dd, value);
    dl.children[i].title = title ?? '';
  });
}

function renderStatus(s) {
  const online = s.status.state === 'online';
  text($('state'), s.status.state || 'unknown');
  $('state').className = 'pill ' + (online ? 'online' : 'trouble');
  $('degraded').hidden = online;
  text($('degraded'), 'Degraded: ' + (s.status.reasons.join('; ') || 'no reason given'));
  const facts = [['Version', s.status.version || '–'], ['Model', (s.status.model || 'none').slice(0, 19), s.status.model]];
  if (s.status.since) facts.push(['Up for', span(ms(s.at) - ms(s.status.since)), 'since ' + s.status.since]);
  if (now.newest) {
    const lag = ms(s.at) - now.newest;
    const behind = lag > 0 ? ' (' + span(lag) + ' ago)' : '';
    facts.push(['Newest window ends', moment(new Date(now.newest).toISOString()).textContent + behind, 'event time: when the readings were taken']);
  }
  pairs($('facts'), facts);
}

function renderRate(rates) {
  text($('rate'), perSecond(rates.readings_per_s));
  const h = now.rates;
  const top = Math.max(...h, 1);
  const x = (i) => (240 - (h.length - 1 - i) * (240 / (SPARK - 1))).toFixed(1);
  const line = h.map((v, i) => x(i) + ' ' + (46 - (v / top) * 42).toFixed(1)).join('L');
  const area = svg('path', { class: 'area', d: 'M' + x(0) + ' 48L' + line + 'L240 48Z' });
  $('spark').replaceChildren(area, svg('path', { class: 'line', d: 'M' + line }));
}

function renderLedger(l, rates) {
  const rest = l.received - l.stored - l.duplicate - l.late - l.refused;
  const holds = l.holds && rest === 0;
  const mark = $('holds');
  if (mark.dataset.holds !== String(holds)) {
    mark.dataset.holds = String(holds);
    mark.className = 'mark ' + (holds ? 'good' : 'bad');
    mark.replaceChildren(shape(holds ? 'normal' : 'broken'), el('span'));
  }
  text(mark.lastChild, holds ? 'holds' : 'does not hold' + (rest ? ': ' + count(Math.abs(rest)) + (rest > 0 ? ' missing' : ' too many') : ''));
  const parts = ['received', 'stored', 'duplicate', 'late', 'refused'];
  const box = $('ledger');
  if (!box.childElementCount) {
    parts.forEach((p, i) => {
      if (i) box.append(el('span', 'sign', i === 1 ? '=' : '+'));
      box.append(el('div', 'term ' + p, el('b'), el('span', '', p), el('small')));
    });
  }
  parts.forEach((p, i) => {
    const [n, , per] = box.children[2 * i].children;
    text(n, count(l[p]));
    text(per, perSecond(rates[p]) + '/s');
  });
  const why = Object.entries(l.refused_by_reason).map(([k, n]) => count(n) + ' ' + k + (REASONS[k] ? ': ' + REASONS[k] : ''));
  box.lastElementChild.title = why.join('\n');
}

function renderTotals(c) {
  pairs($('totals'), [
    ['Assets', count(c.assets)], ['Sensors', count(c.sensors)], ['Windows closed', count(c.windows)],
    ['Predictions', count(c.predictions)], ['Windows refused', count(c.quarantined)], ['Active alerts', count(c.alerts_active)],
  ]);
}

function renderLevels(levels) {
  const box = $('levels');
  if (!box.childElementCount) {
    for (const name of LEVELS) {
      const b = el('button', 'level ' + name, shape(name), el('b'), el('span', '', name));
      b.title = LEVEL_HELP[name] + ' Click to show only these.';
      b.onclick = () => { now.filter = now.filter === name ? '' : name; now.extra = 0; render(); };
      box.append(b);
    }
  }
  LEVELS.forEach((name, i) => {
    const b = box.children[i];
    text(b.children[1], count(levels[name]));
    b.setAttribute('aria-pressed', String(now.filter === name));
    b.classList.toggle('none', !levels[name]);
  });
}

// An alert may be of a whole asset or site, and then has no sensor to open.
const wide = (a) => a.sensor === '_asset' || a.sensor === '_site';
const about = (a) => (a.sensor === '_site' ? 'whole site' : a.asset + (wide(a) ? ', whole asset' : ' ' + a.sensor));

function alertItem(a) {
  const level = known(a.severity);
  const open = a.state !== 'cleared';
  const when = el('p', 'when', 'since ', moment(a.raised_at));
  if (open && now.newest > ms(a.raised_at)) when.append(' (' + span(now.newest - ms(a.raised_at)) + ')');
  if (!open) when.append(', cleared ', moment(a.updated_at));
  const button = el('button', 'alert ' + (open ? level : 'cleared'),
    el('span', 'tag', shape(level), open ? level : 'cleared'),
    el('span', 'what', el('b', '', about(a)), el('small', '', a.site)),
    el('span', 'p', share(a.p_failure)));
  button.onclick = () => (wide(a) ? go('alerts') : go(a.site, a.asset, a.sensor));
  return el('li', '', button, el('p', 'why', a.reason), when);
}

const alertOrder = (x, y) => (x.state === 'cleared') - (y.state === 'cleared')
  || rank(x.severity) - rank(y.severity) || ms(y.updated_at) - ms(x.updated_at);

// A list is rebuilt only when its content differs, and then keeps the focus where it was.
function rebuild(list, mark, make) {
  if (list.dataset.mark === mark) return;
  list.dataset.mark = mark;
  const focused = [...list.querySelectorAll('button')].indexOf(document.activeElement);
  list.replaceChildren(...make());
  if (focused >= 0) list.querySelectorAll('button')[focused]?.focus();
}

function renderAlerts(s) {
  const list = s.alerts.toSorted(alertOrder).slice(0, 12);
  const mark = JSON.stringify(list) + Math.floor(now.newest / 60e3);
  text($('alerts-head'), 'Alerts · ' + count(s.counts.alerts_active) + ' active');
  rebuild($('alerts'), mark, () => (list.length ? list.map(alertItem) : [el('li', 'empty', 'No alert has been raised.')]));
  $('alerts-all').hidden = !list.length;
}

function renderQuarantine(q) {
  rebuild($('quarantine'), JSON.stringify(q), () => [
    reasonList('Windows, not scored', q.windows_by_reason),
    reasonList('Messages, not stored', q.messages_by_reason),
  ]);
}

function reasonList(title, by) {
  const list = Object.entries(by).filter(([, n]) => n).sort((x, y) => y[1] - x[1] || (x[0] < y[0] ? -1 : 1));
  const box = el('div', 'reasons', el('h3', '', title));
  if (!list.length) box.append(el('p', 'empty', 'None so far.'));
  for (const [code, n] of list) {
    const bar = el('i');
    bar.style.width = Math.max(2, (100 * n) / list[0][1]) + '%';
    box.append(el('div', 'reason', el('code', '', code), el('b', '', count(n)), el('small', '', REASONS[code] ?? ''), el('span', 'bar', bar)));
  }
  return box;
}

// The models. They are asked for when the live one changes, and now and then for how the shadows compare.

const MODELS_EVERY = 20e3;
const models = { live: null, asked: 0 };

async function followModels(live) {
  if (live === models.live && performance.now() - models.asked < MODELS_EVERY) return;
  Object.assign(models, { live, asked: performance.now() });
  try {
    const r = await fetch('api/v1/models');
    const page = await r.json();
    if (!r.ok) throw new Error(page.error);
    drawModels(page);
  } catch (e) {
    rebuild($('models'), e.message, () => [el('p', 'problem', 'This could not be read: ' + e.message)]);
  }
}

function drawModels(page) {
  const live = page.models.find((m) => m.model_id === page.live);
  const shadows = page.models.filter((m) => m.state === 'shadow');
  rebuild($('models'), JSON.stringify(page), () => [
    el('div', 'model', el('span', 'tag', 'live'), el('b', '', live ? live.name : 'rules of physics'), ' ', live ? el('code', '', live.model_id) : '',
      el('p', page.models.some((m) => m.state === 'active' && !m.in_force) ? 'why lost-model' : 'why', page.why)),
    ...shadows.map((m) => el('div', 'model', el('span', 'tag', 'shadow'), el('b', '', m.name), ' ', el('code', '', m.model_id),
      el('p', m.in_force ? 'why' : 'why lost-model', m.why), el('p', 'when', comparedText(m.compared)))),
  ]);
}

// comparedText says how a model in shadow differs from what is live.
function comparedText(c) {
  if (!c) return 'No window was scored beside what is live yet.';
  return 'Another level than the live one in ' + rare(c.differ_share) + ' of ' + count(c.windows) + ' windows of the last day; the probabilities differ by ' + c.mean_difference.toFixed(3) + ' on average.';
}

const rare = (p) => (p == null ? '–' : (100 * p).toFixed(p > 0 && p < 0.1 ? 1 : 0) + ' %');

// The fleet. Cards of assets that did not change are left alone.

function matches(a) {
  if (now.filter && !a.sensors.some((x) => known(x.level) === now.filter)) return false;
  const f = now.find;
  return !f || keyOf(a).toLowerCase().includes(f) || a.sensors.some((x) => x.sensor.toLowerCase().includes(f));
}

const isCalm = (x) => rank(x.level) >= rank('unknown');
const troubled = (a) => !isCalm(a) || a.sensors.some((x) => !isCalm(x));
const worst = (a) => a.sensors.reduce((r, x) => Math.min(r, rank(x.level)), rank(a.level));

function renderFleet() {
  const all = [...now.assets.values()].filter(matches);
  all.sort((x, y) => worst(x) - worst(y) || collate(keyOf(x), keyOf(y)));
  const trouble = all.filter(troubled).length;
  const narrowed = now.filter || now.find;
  const limit = (all.length <= MANY ? all.length : narrowed ? STEP : Math.min(trouble, STEP)) + now.extra;
  const shown = all.slice(0, limit);
  const keep = new Set(shown.map(keyOf));
  for (const [k, c] of cards) if (!keep.has(k)) { c.root.remove(); cards.delete(k); }
  let at = $('cards').firstElementChild;
  for (const a of shown) {
    const c = cardOf(a);
    if (c.root === at) at = at.nextElementSibling;
    else $('cards').insertBefore(c.root, at);
  }
  while (at) { const next = at.nextElementSibling; at.remove(); at = next; }
  const rest = all.length - shown.length;
  const calm = all.length - Math.max(trouble, shown.length);
  $('more').hidden = rest <= 0;
  text($('more'), calm === rest ? count(rest) + ' assets without trouble: show' : 'Show more of ' + count(rest) + ' assets');
  text($('fleet-head'), 'Fleet · ' + count(all.length) + (narrowed ? ' of ' + count(now.assets.size) : '') + ' assets');
  if (!shown.length) $('cards').append(emptyFleet(all.length));
}

function emptyFleet(calm) {
  if (calm) return el('p', 'empty', 'No asset is in trouble.');
  if (now.assets.size) return el('p', 'empty', 'Nothing matches.');
  return el('div', 'empty', el('p', '', 'No reading has arrived yet. Publish one:'),
    el('code', '', 'mosquitto_pub -q 1 -t cidp/v1/telemetry/depot/train1/axle1-left -m \'{"ts":' + Date.now() + ',"temp_c":41.5}\''));
}

function cardOf(a) {
  const k = keyOf(a);
  let c = cards.get(k);
  if (!c) {
    const list = el('div', 'chips');
    const fold = el('button', 'chip fold');
    c = { root: el('article', 'card'), head: el('header'), list, fold, chips: new Map(), open: false };
    fold.onclick = () => { c.open = !c.open; c.data = null; render(); };
    c.root.append(c.head, list);
    cards.set(k, c);
  }
  const quiet = a.sensors.map(silent).join();
  const mark = now.filter + '\n' + now.find + '\n' + quiet;
  if (c.data !== a || c.mark !== mark) {
    Object.assign(c, { data: a, mark });
    fillCard(c, a);
  }
  return c;
}

function fillCard(c, a) {
  const level = LEVELS[worst(a)];
  c.root.className = 'card ' + level;
  c.head.replaceChildren(shape(level), el('h3', '', a.asset), el('small', '', a.site), el('span', 'tag', level));
  const calm = a.sensors.filter(isCalm).length;
  const folded = calm > CHIPS && !c.open && !now.find && !now.filter;
  const shown = folded ? a.sensors.filter((x) => !isCalm(x)) : a.sensors;
  const keep = new Set(shown.map((x) => x.sensor));
  for (const [k, chip] of c.chips) if (!keep.has(k)) { chip.remove(); c.chips.delete(k); }
  let at = c.list.firstElementChild;
  for (const x of shown) {
    const chip = chipOf(c, a, x);
    if (chip === at) at = at.nextElementSibling;
    else c.list.insertBefore(chip, at);
  }
  if (calm > CHIPS) c.list.append(text(c.fold, folded ? '+ ' + calm + (a.sensors.some((x) => known(x.level) === 'unknown') ? ' normal or unknown' : ' normal') : 'fold the quiet ones'));
  else c.fold.remove();
}

function chipOf(c, a, x) {
  let chip = c.chips.get(x.sensor);
  if (!chip) {
    chip = el('button', '', el('span', 'shape'), el('span', 'name', x.sensor), el('span', 'figure'));
    chip.onclick = () => go(a.site, a.asset, x.sensor);
    c.chips.set(x.sensor, chip);
  }
  const level = known(x.level);
  const quiet = silent(x);
  const out = (now.filter && now.filter !== level) || (now.find && !keyOf(a).toLowerCase().includes(now.find) && !x.sensor.toLowerCase().includes(now.find));
  chip.className = 'chip ' + level + (quiet ? ' silent' : '') + (out ? ' out' : '');
  if (chip.dataset.level !== level) {
    chip.dataset.level = level;
    chip.firstChild.replaceWith(shape(level));
  }
  const figure = quiet ? quiet + ' ago' : level === 'quarantined' ? x.reasons.join(', ') : rank(level) < rank('quarantined') ? share(x.p_failure)
    : x.mean_c == null ? '' : Math.round(x.mean_c) + '°';
  text(chip.lastChild, figure);
  chip.setAttribute('aria-label', [x.sensor, level, figure].join(', '));
  chip.title = [x.kind + ', ' + level + (x.source ? ' by ' + x.source : ''), 'mean ' + degrees(x.mean_c), 'probability of failure ' + share(x.p_failure),
    ...x.reasons.map((r) => r + ': ' + (REASONS[r] ?? '')), quiet ? 'no newer window for ' + quiet : ''].filter(Boolean).join('\n');
  return chip;
}

// The dialog: one sensor, all alerts, the quarantine, or the models. The address names what is open, so that it can be sent on.

let view = null;

function go(...names) {
  if (names.length) location.hash = '#/' + names.map(encodeURIComponent).join('/');
  else { // setting an empty hash would scroll to the top
    history.pushState(null, '', location.pathname);
    openFromHash();
  }
}

function openFromHash() {
  let names = [];
  try { names = location.hash.slice(2).split('/').map(decodeURIComponent); } catch { /* not an address of ours */ }
  if (names.length === 3) view = sensorView(...names);
  else if (names[0] === 'alerts') view = alertsView();
  else if (names[0] === 'quarantine') view = quarantineView();
  else if (names[0] === 'models') view = modelsView();
  else view = null;
  if (!view) { $('detail').close(); return; }
  text($('detail-title'), view.title);
  text($('detail-sub'), view.sub ?? '');
  $('detail-body').replaceChildren(el('p', 'empty', 'Loading'));
  if (!$('detail').open) $('detail').showModal();
  load();
}

// load asks for what the open view shows. An answer that comes after the view has changed is dropped.
async function load() {
  const v = view;
  try {
    const r = await fetch(v.url);
    const data = await r.json();
    if (view !== v) return;
    if (!r.ok) throw new Error(data.error);
    v.data = data;
    $('detail-body').replaceChildren(...v.draw(data));
  } catch (e) {
    if (view === v) $('detail-body').replaceChildren(el('p', 'problem', 'This could not be read: ' + e.message));
  }
}

function alertsView() {
  return {
    title: 'Alerts', sub: 'the newest 500', url: 'api/v1/alerts?limit=500',
    draw: (d) => [el('ol', 'alerts-all', ...d.alerts.toSorted(alertOrder).map(alertItem))],
  };
}

function quarantineView() {
  return {
    title: 'Quarantine', sub: 'what was refused, and why; newest first', url: 'api/v1/quarantine?limit=100',
    draw: (d) => [
      el('h3', '', 'Windows, not scored'),
      el('p', 'empty', 'After a fix, cidp quarantine release ID puts evidence back through the line under the rules of now. Bad data stay where they are.'),
      table(['Id', 'State', 'Sensor', 'Window ends', 'Reasons', 'Detail'], d.windows.map((w) => [
        el('code', '', w.id), stateOf(w), [w.site, w.asset, w.sensor].join(' / '), moment(w.window_end), w.reasons.join(', '), w.detail])),
      el('h3', '', 'Messages, not stored'),
      table(['Id', 'State', 'Received', 'Reason', 'Topic', 'Client', 'Detail', 'Evidence'], d.messages.map((m) => [
        el('code', '', m.id), stateOf(m), moment(m.received_at), m.reason, m.topic, m.client, m.detail, el('code', '', m.payload.slice(0, 200))])),
    ],
  };
}

function modelsView() {
  return {
    title: 'Models', sub: 'what is live, what runs in shadow, and why', url: 'api/v1/models',
    draw: (d) => [
      el('p', 'empty', 'cidp model activate ID lets a model go live, if its trial allows it; cidp model shadow ID and retire ID take it out.'),
      table(['Model', 'State', 'Name', 'Another level', 'Mean difference', 'Trial', 'Why'], d.models.map((m) => [
        el('code', '', m.model_id), m.in_force || m.state === 'retired' ? m.state : m.state + ', cannot be read', m.name,
        m.compared ? rare(m.compared.differ_share) + ' of ' + count(m.compared.windows) : null, m.compared ? m.compared.mean_difference.toFixed(3) : null,
        m.trial ? (m.trial.passed ? 'passed' : 'not passed') : 'none', m.why])),
      el('h3', '', 'Who moved them, newest first'),
      table(['When', 'Model', 'Who', 'Asked', 'From then on', 'Note', 'Why'], d.models.flatMap((m) => m.audit.map((a) => ({ m, a })))
        .sort((x, y) => ms(y.a.at) - ms(x.a.at)).map(({ m, a }) => [moment(a.at), el('code', '', m.model_id), a.actor, a.action, a.outcome, a.note || null, a.detail])),
    ],
  };
}

// stateOf says whether evidence is still in quarantine, or when a person put it back.
function stateOf(x) {
  return x.released_at ? el('span', '', 'released ', moment(x.released_at)) : x.state;
}

function sensorView(site, asset, sensor) {
  const path = [site, asset, sensor].map(encodeURIComponent).join('/');
  const row = () => now.assets.get(site + '/' + asset)?.sensors.find((x) => x.sensor === sensor);
  let seen = row()?.window_end;
  return {
    title: asset + ' ' + sensor, sub: site, url: 'api/v1/sensors/' + path + '?limit=120', draw: drawSensor,
    follow: () => { // a new window has closed
      const end = row()?.window_end;
      if (end !== seen) { seen = end; load(); }
    },
  };
}

function table(heads, rows) {
  if (!rows.length) return el('p', 'empty', 'None.');
  const body = el('tbody', '', ...rows.map((r) => el('tr', '', ...r.map((c) => el('td', '', c ?? '–')))));
  return el('div', 'scroll', el('table', '', el('thead', '', el('tr', '', ...heads.map((h) => el('th', '', h)))), body));
}

function drawSensor(d) {
  const newest = d.windows[0];
  const mate = d.registry && d.registry.mate;
  text($('detail-sub'), [d.site, d.kind, d.period_ms ? 'a reading every ' + d.period_ms / 1000 + ' s' : '', mate ? 'mate ' + mate : '', deviceClock(d.clock)].filter(Boolean).join(' · '));
  if (!newest) return [el('p', 'empty', 'No window has closed yet.')];
  const level = newest.verdict === 'quarantined' ? 'quarantined' : known(newest.level);
  const head = el('div', 'newest ' + level, el('span', 'tag', shape(level), level), ' window to ', moment(newest.window_end),
    el('b', '', degrees(newest.mean_c)), level === 'quarantined' ? el('span', '', newest.detail || newest.reasons.join(', '))
      : el('span', '', share(newest.p_failure) + ' probability of failure, by ' + (newest.source || 'no rule')));
  const rows = d.windows.slice(0, 60).map((w) => {
    const lv = w.verdict === 'quarantined' ? 'quarantined' : known(w.level);
    const verdict = el('span', 'tag ' + lv, shape(lv), lv);
    return [moment(w.window_end), verdict, share(w.p_failure), degrees(w.mean_c), degrees(w.min_c), degrees(w.max_c), w.n + ' of ' + w.expected,
      w.source || '–', w.detail || w.reasons.join(', ') || '–'];
  });
  const out = [head, chart(d.windows.toReversed())];
  const told = d.windows.find((w) => w.explanation.length);
  if (told) out.push(why(told));
  out.push(el('h3', '', 'Windows, newest first'),
    table(['Window ends', 'Level', 'Probability', 'Mean', 'Lowest', 'Highest', 'Readings', 'Source', 'Why refused'], rows));
  return out;
}

// deviceClock says in words what is odd about the device's clock; '' while nothing is.
function deviceClock(c) {
  if (!c) return '';
  const off = Math.round(Math.abs(c.behind_ms) / 1000);
  return [off >= 60 ? 'its clock is ' + off + ' s ' + (c.behind_ms > 0 ? 'behind, or it sends what it kept' : 'ahead') : '',
    c.jumps ? 'its clock has jumped ' + c.jumps + (c.jumps > 1 ? ' times' : ' time') : ''].filter(Boolean).join(', ');
}

// why shows which features moved the forest's score, towards failure (right) or away from it (left); where the rules speak alone, what the strongest looked at.
function why(w) {
  if (w.explanation_method === 'rule') {
    return el('div', 'why-list', el('h3', '', 'What the rule looked at, window to ', moment(w.window_end)), ...w.explanation.map((c) => el('p', '', c.text)));
  }
  const most = Math.max(...w.explanation.map((c) => Math.abs(c.contribution ?? 0)), 1e-9);
  const box = el('div', 'why-list', el('h3', '', 'What moved the forest’s score (path contributions), window to ', moment(w.window_end)));
  for (const c of w.explanation) {
    const v = c.contribution ?? 0;
    const bar = el('i', v > 0 ? 'up' : 'down');
    bar.style.width = (50 * Math.abs(v)) / most + '%';
    box.append(el('div', 'why-row', el('span', '', c.text), el('span', 'bar', bar), el('small', '', (v > 0 ? '+' : '') + (100 * v).toFixed(1) + ' points')));
  }
  return box;
}

// chart draws two panels over the same time: temperature with its range and ambient, and the probability by level.
function chart(list) {
  const W = Math.max(300, $('detail-body').clientWidth - 40), L = 44, R = 10, T = 14, H1 = 170, GAP = 26, H2 = 70, H = T + H1 + GAP + H2 + 22;
  const t0 = ms(list[0].window_start), t1 = Math.max(ms(list.at(-1).window_end), t0 + 1);
  const x = (t) => L + ((t - t0) / (t1 - t0)) * (W - L - R);
  const temps = list.flatMap((w) => [w.min_c, w.max_c, w.mean_c, w.ambient_c]).filter((v) => v != null);
  const [least, most] = temps.length ? [Math.min(...temps), Math.max(...temps)] : [0, 1];
  const step = niceStep(Math.max(most - least, 1) / 4);
  const lo = Math.floor(least / step) * step;
  const hi = Math.max(lo + step, Math.ceil(most / step) * step);
  const y = (v) => T + H1 - ((v - lo) / (hi - lo)) * H1;
  const base = T + H1 + GAP + H2;
  const root = svg('svg', { class: 'chart', viewBox: `0 0 ${W} ${H}`, width: W, height: H, role: 'img', 'aria-label': 'Temperature and probability of failure over time' });
  const label = (px, py, s, anchor) => svg('text', { x: px, y: py, 'text-anchor': anchor }, s);
  for (let v = lo; v <= hi + step / 2; v += step) {
    root.append(svg('line', { class: 'grid', x1: L, x2: W - R, y1: y(v), y2: y(v) }), label(L - 6, y(v) + 4, String(+v.toFixed(2)), 'end'));
  }
  root.append(label(L, T - 4, '°C: mean, range (shaded), ambient (dashed)', 'start'), label(L, T + H1 + GAP - 6, 'probability of failure', 'start'));
  for (const p of [0, 0.5, 1]) {
    root.append(svg('line', { class: 'grid', x1: L, x2: W - R, y1: base - p * H2, y2: base - p * H2 }), label(L - 6, base - p * H2 + 4, 100 * p + ' %', 'end'));
  }
  for (const run of runs(list)) {
    const at = (w) => x((ms(w.window_start) + ms(w.window_end)) / 2).toFixed(1);
    const path = (f, ws) => ws.filter((w) => f(w) != null).map((w) => at(w) + ' ' + y(f(w)).toFixed(1)).join('L');
    const band = [path((w) => w.max_c, run), path((w) => w.min_c, run.toReversed())].filter(Boolean).join('L');
    if (band) root.append(svg('path', { class: 'band', d: 'M' + band + 'Z' }));
    for (const [cls, f] of [['ambient', (w) => w.ambient_c], ['mean', (w) => w.mean_c]]) {
      const d = path(f, run);
      if (d) root.append(svg('path', { class: cls, d: 'M' + d + (d.includes('L') ? '' : 'h.1') }));
    }
  }
  for (const w of list) root.append(...chartWindow(w, x, T, base, H2));
  const ticks = Math.max(2, Math.min(6, Math.floor(W / 130)));
  for (let i = 0; i < ticks; i++) {
    const t = t0 + ((t1 - t0) * i) / (ticks - 1);
    root.append(label(x(t), base + 16, t1 - t0 > 172800e3 ? day.format(t) : clock.format(t), i === 0 ? 'start' : i === ticks - 1 ? 'end' : 'middle'));
  }
  return root;
}

// chartWindow is one window's column: a bar for its probability, a hatched one where it was refused, and what the pointer is told.
function chartWindow(w, x, top, base, height) {
  const left = x(ms(w.window_start)), width = Math.max(1, x(ms(w.window_end)) - left);
  const refused = w.verdict === 'quarantined';
  const h = Math.max(1, (w.p_failure ?? 0) * height);
  const out = [];
  if (refused) out.push(svg('rect', { class: 'refused', x: left, width, y: top, height: base - top }));
  else if (w.p_failure != null) out.push(svg('rect', { class: 'p ' + known(w.level), x: left + 0.3, width: Math.max(0.7, width - 0.6), y: base - h, height: h }));
  const told = [w.window_end, 'mean ' + degrees(w.mean_c) + ' (' + degrees(w.min_c) + ' to ' + degrees(w.max_c) + ')',
    refused ? 'refused: ' + w.reasons.join(', ') : share(w.p_failure) + ', ' + known(w.level)];
  out.push(svg('rect', { class: 'hit', x: left, width, y: top, height: base - top }, svg('title', {}, told.join('\n'))));
  return out;
}

// runs splits windows where one or more are missing between two.
function runs(list) {
  const out = [[]];
  list.forEach((w, i) => {
    if (i && ms(w.window_start) - ms(list[i - 1].window_end) > (ms(w.window_end) - ms(w.window_start)) / 2) out.push([]);
    out.at(-1).push(w);
  });
  return out;
}

// niceStep rounds a distance between grid lines up to 1, 2 or 5 times a power of ten.
function niceStep(v) {
  const p = 10 ** Math.floor(Math.log10(Math.max(v, 0.01)));
  return p * ([1, 2, 5].find((m) => m * p >= v) ?? 10);
}

// Start.

$('find').oninput = (e) => { now.find = e.target.value.trim().toLowerCase(); now.extra = 0; render(); };
$('more').onclick = () => { now.extra += STEP; render(); };
$('alerts-all').onclick = () => go('alerts');
$('evidence').onclick = () => go('quarantine');
$('models-all').onclick = () => go('models');
$('detail-close').onclick = () => go();
$('detail').addEventListener('close', () => { if (view) go(); });
$('detail').addEventListener('click', (e) => { if (e.target === $('detail')) go(); });
window.addEventListener('hashchange', openFromHash);
window.addEventListener('resize', () => { if (view?.data) $('detail-body').replaceChildren(...view.draw(view.data)); });
document.addEventListener('visibilitychange', onVisibility);
setInterval(pulse, 500);
watchDrift($('drift'), { el, svg, text, moment, count });
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'local time';
text($('zone'), 'Times are shown in ' + zone + (zone === 'UTC' ? '.' : '; point at one for UTC.'));
const first = JSON.parse($('first').textContent); // what stood when the page was asked for: it is there before the stream is
if (first) {
  Object.assign(link, { at: Date.now(), perf: performance.now(), every: first.every_ms });
  take(first, true);
  render();
}
connect();
openFromHash();
