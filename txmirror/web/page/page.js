// The page: it follows /v1/events, and draws only the visible rows. It has no framework and no build step.
// Text from ZooKeeper gets only into text nodes and attributes, escaped and bounded: never into markup.

// ---------------------------------------------------------------------------------------------------------------- Text

const LONGEST_LINE = 240, LONGEST_TEXT = 20000;
// Characters that are not seen, or that change the order or the place of others.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;

function escapeOne(character) {
  if (character === "\n") return "\\n";
  if (character === "\t") return "\\t";
  if (character === "\r") return "\\r";
  return `\\u{${character.codePointAt(0).toString(16)}}`;
}

// Return a value as one line, escaped and bounded.
function line(value, longest = LONGEST_LINE) {
  let text = String(value ?? "");
  const more = text.length > longest;
  if (more) text = text.slice(0, longest);
  return text.replace(UNSEEN, escapeOne) + (more ? "\u2026" : "");
}

// Return a text with its line breaks, escaped and bounded.
function block(text) {
  const shown = text.length > LONGEST_TEXT ? text.slice(0, LONGEST_TEXT) : text;
  const escaped = shown.replace(UNSEEN, (each) => (each === "\n" || each === "\t" ? each : escapeOne(each)));
  return text.length > LONGEST_TEXT ? `${escaped}\n\u2026 and ${count(text.length - LONGEST_TEXT, "more character")}` : escaped;
}

// Return the words of a text for sorting: 2 is before 10.
const sortable = (text) => text.slice(0, 120).toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, "0"));
const number = (value) => Number(value).toLocaleString("en-US");
const count = (n, thing) => `${number(n)} ${thing}${n === 1 ? "" : "s"}`;

// ---------------------------------------------------------------------------------------------------------------- Time

// The server's clock minus this one's, in seconds, from the moment that the page was made.
const skew = (() => {
  const made = Number(document.documentElement.dataset.now);
  const entry = performance.getEntriesByType("navigation")[0];
  const here = (performance.timeOrigin + (entry ? entry.responseStart : 0)) / 1000;
  return made && Math.abs(made - here) > 2 ? made - here : 0;
})();
const now = () => Date.now() / 1000 + skew;

function duration(seconds) {
  const s = Math.max(0, seconds);
  if (s < 120) return `${Math.floor(s)} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${number(Math.floor(s / 86400))} d`;
}

const two = (value) => String(value).padStart(2, "0");
const clock = (d) => `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
const day = (d) => `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;

function exact(seconds) {
  const d = new Date((seconds - skew) * 1000), offset = -d.getTimezoneOffset();
  if (Number.isNaN(d.getTime())) return "";
  const zone = offset === 0 ? "UTC" : `UTC${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return `${day(d)} ${clock(d)}.${String(d.getMilliseconds()).padStart(3, "0")} ${zone}`;
}

// -------------------------------------------------------------------------------------------------------------- Nodes

const $ = (id) => document.getElementById(id);

// Make an element: h("p", {class: "x", onclick: f}, "text", child).
function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((each) => each !== null && each !== undefined && each !== false));
  return element;
}

// Set a text or an attribute only if it differs: otherwise the browser would draw the element again.
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
function mark(element, name, value) {
  if (value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

// Return the nodes of a text whose paths break only after a slash, unless a part of a path is longer than the line.
function breakable(text) {
  return text.split(/(\s+)/).flatMap((word) =>
    (word.includes("/") ? word.match(/\/*[^/]+\/*|\/+/g).map((part) => h("span", { class: "part" }, part)) : word));
}
function putBreakable(element, text) {
  if (element.textContent !== text) element.replaceChildren(...breakable(text));
}

// Keep the children of an element equal to a list of items, by their keys.
function keep(parent, items, keyOf, make, update) {
  const former = parent.kept ?? new Map(), kept = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    if (kept.has(key)) continue;
    const element = former.get(key) ?? make(item);
    update?.(element, item);
    kept.set(key, element);
    if (element === place) place = place.nextSibling;
    else parent.insertBefore(element, place);
  }
  for (const [key, element] of former) if (!kept.has(key)) element.remove();
  parent.kept = kept;
}

// Replace the children of an element if the value that they show has changed.
function redraw(element, value, make) {
  if (value !== null && element.source === value) return;
  element.source = value;
  const shown = JSON.stringify(value);
  if (element.shown === shown) return;
  element.shown = shown;
  element.replaceChildren(...make(value));
  tick();
}

// Return a relative time that stays right; its title has the exact one.
function age(seconds, suffix = "") {
  return seconds ? setAge(h("time", suffix ? { "data-suffix": suffix } : null), seconds) : h("span", null, "\u2013");
}
function setAge(element, seconds) {
  if (element.at === seconds) return element;
  element.at = seconds;
  element.dataset.at = seconds;
  element.title = exact(seconds);
  const date = new Date(seconds * 1000);
  if (!Number.isNaN(date.getTime())) element.dateTime = date.toISOString();
  drawAge(element, now());
  return element;
}
function drawAge(element, at) {
  put(element, duration(at - element.at) + (element.dataset.suffix ?? ""));
}

const STATES = {
  passing: "passing", warning: "warning", held: "held", down: "down", unreadable: "unreadable", "no-weight": "no weight",
};
const MEANINGS = {
  passing: "It can be used.", warning: "It can be used, and a check warns.", down: "It is registered as down.",
  held: "It is gone from ZooKeeper since an outage, and counts as usable for some seconds.",
  unreadable: "Its znode cannot be read or decoded.", "no-weight": "It has the weight 0, and gets no traffic.",
};
// The worst first.
const ORDER = { down: 0, unreadable: 1, held: 2, "no-weight": 3, warning: 4, passing: 5 };
const stateOf = (name) => (Object.hasOwn(STATES, name) ? name : "unreadable");

function state(kind, word, form = "state") {
  return h("span", { class: `${form} ${kind}` }, h("span", { class: "dot", "aria-hidden": "true" }), h("span", null, word));
}
function setState(element, kind, word, form = "state") {
  const classes = `${form} ${kind}`;
  if (element.className !== classes) element.className = classes;
  put(element.lastChild, word);
}

// -------------------------------------------------------------------------------------------------------------- Model

class Entry {
  constructor(service, node, instance) {
    this.service = service;
    this.node = node;
    this.key = `${service}/${node}`;
    this.sortName = sortable(node);
    this.sortService = sortable(service);
    this.gone = false;
    this.replace(instance);
  }
  replace(instance) {
    this.instance = instance;
    this.state = stateOf(instance.state);
    this.words = null;
  }
  get address() {
    const { address, port } = this.instance;
    if (!address) return "";
    return `${String(address).includes(":") ? `[${address}]` : address}${port === null || port === undefined ? "" : `:${port}`}`;
  }
  // The text in which the search looks.
  get text() {
    this.prepare();
    return this.words;
  }
  prepare() {
    if (this.words === null) {
      const { labels, owner, id, status } = this.instance;
      const pairs = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
      this.words = [this.service, this.node, this.address, this.state, STATES[this.state], status, owner, id, ...pairs]
        .map((each) => String(each ?? "").slice(0, 200)).join("\n").toLowerCase();
    }
  }
}

class Service {
  constructor(name, path) {
    this.name = this.key = name;
    this.path = path;
    this.reason = null; // why its instances cannot be read
    this.sortName = sortable(name);
    this.entries = new Map();
    this.counts = new Map();
    this.changed = 0;
  }
  set(node, instance) {
    let entry = this.entries.get(node);
    if (entry) {
      this.add(entry.state, -1);
      entry.replace(instance);
    } else {
      entry = new Entry(this.name, node, instance);
      this.entries.set(node, entry);
    }
    this.add(entry.state, 1);
    this.changed = Math.max(this.changed, instance.changed ?? 0);
    return entry;
  }
  remove(node) {
    const entry = this.entries.get(node);
    if (!entry) return null;
    this.entries.delete(node);
    this.add(entry.state, -1);
    this.changed = now();
    entry.gone = true;
    return entry;
  }
  add(kind, n) { this.counts.set(kind, (this.counts.get(kind) ?? 0) + n); }
  count(kind) { return this.counts.get(kind) ?? 0; }
  get usable() { return this.count("passing") + this.count("warning") + this.count("held"); }
  get problems() { return this.entries.size - this.count("passing"); }
}

const model = {
  services: new Map(),
  staged: null, // the next services, while a snapshot arrives
  known: false,
  daemon: null,
  zookeeper: null,
  catalog: null, // its path, and whether it is known and current
  at: {}, // when these states have come
  // The changes for the next frame.
  added: [], removed: false, touched: new Set(), touchedServices: new Set(), replaced: false,
};

const parts = {
  reset() { model.staged = new Map(); },
  services(value) {
    const all = model.staged ?? model.services;
    let service = all.get(value.service);
    if (!service) all.set(value.service, (service = new Service(value.service, value.path)));
    service.path = value.path ?? service.path;
    service.reason = value.reason ?? null;
    for (const each of value.instances) note(service, each.name, each, model.staged === null);
  },
  live() {
    if (model.staged) {
      model.services = model.staged;
      model.staged = null;
    }
    model.known = model.replaced = true;
    performance.mark("txmirror-live");
    warm();
  },
  change(value) {
    const all = model.staged ?? model.services;
    let service = all.get(value.service);
    if (value.gone) {
      if (service) for (const node of [...service.entries.keys()]) note(service, node, null, true);
      all.delete(value.service);
      model.touchedServices.add(value.service);
      return;
    }
    if (!service) all.set(value.service, (service = new Service(value.service, value.path)));
    service.reason = value.reason ?? null;
    for (const [node, instance] of Object.entries(value.changes ?? {})) note(service, node, instance, model.staged === null);
  },
  state(value) {
    if (!["daemon", "zookeeper", "catalog"].includes(value.topic)) return;
    model[value.topic] = value.value;
    model.at[value.topic] = now();
  },
};

// Prepare the texts for the search while nothing else is to be done.
function warm() {
  const entries = [...model.services.values()].flatMap((service) => [...service.entries.values()]);
  const step = (deadline) => {
    while (entries.length && deadline.timeRemaining() > 2) for (const entry of entries.splice(-20)) entry.prepare();
    if (entries.length) requestIdleCallback(step);
  };
  globalThis.requestIdleCallback?.(step);
}

function note(service, node, instance, live) {
  if (instance === null) {
    const entry = service.remove(node);
    if (entry) model.removed = true;
  } else {
    const fresh = !service.entries.has(node), entry = service.set(node, instance);
    if (live) {
      if (fresh) model.added.push(entry);
      model.touched.add(entry.key);
    }
  }
  if (live) model.touchedServices.add(service.name);
}

// ------------------------------------------------------------------------------------------------------------- Stream

// How long nothing may arrive before the page asks whether the daemon is there, in milliseconds.
const QUIET = 20000;
const stream = {
  source: null, last: "", tries: 0, open: false, lostAt: 0, heardAt: 0, problem: "", timer: 0, probing: false,
  start() {
    this.source?.close();
    const source = (this.source = new EventSource(`/v1/events${this.last ? `?after=${encodeURIComponent(this.last)}` : ""}`));
    source.onopen = () => this.heard();
    source.onerror = () => this.source === source && this.lost();
    for (const [name, take] of Object.entries(parts)) {
      source.addEventListener(name, (event) => {
        if (this.source !== source) return;
        // Within a snapshot, events have the id 0: the stream cannot be resumed there.
        this.last = Number(event.lastEventId) ? event.lastEventId : "";
        this.heard();
        try {
          take(JSON.parse(event.data));
        } catch (error) {
          // This change is lost: begin with a new snapshot, after a pause.
          console.error(`The event ${name} cannot be read.`, error);
          this.last = "";
          this.lost();
        }
        wake();
      });
    }
  },
  heard() {
    this.heardAt = performance.now();
    if (!this.open) {
      this.open = true;
      this.tries = 0;
      this.problem = "";
      wake();
    }
  },
  lost() {
    this.source.close();
    this.source = null;
    if (this.open || !this.lostAt) this.lostAt = now();
    this.open = false;
    clearTimeout(this.timer);
    const wait = Math.min(500 * 2 ** this.tries++, 5000) * (0.75 + Math.random() / 2);
    this.timer = setTimeout(() => this.start(), wait);
    if (this.tries % 3 === 1) this.explain();
    wake();
  },
  // An EventSource does not say why it failed: ask in another way.
  async explain() {
    try {
      const answer = await fetch("/v1/daemon", { signal: AbortSignal.timeout(3000) });
      this.problem = answer.status === 401 || answer.status === 403 ? "The daemon asks for a token: load the page again." : "";
      if (answer.ok) {
        model.daemon = await answer.json();
        this.problem = model.daemon.connected === false ? "The daemon is not connected to ZooKeeper." : "The daemon accepts no more readers at the moment.";
      }
    } catch { this.problem = ""; }
    wake();
  },
  // A connection may be dead without an error. Comments keep it alive, but the page does not see them.
  async check() {
    if (!this.open || this.probing || performance.now() - this.heardAt < QUIET) return;
    this.probing = true;
    try {
      await fetch("/v1/daemon", { signal: AbortSignal.timeout(5000) });
      this.heardAt = performance.now();
    } catch {
      if (this.open && performance.now() - this.heardAt >= QUIET) this.lost();
    } finally { this.probing = false; }
  },
};

// Ask the daemon for JSON. The error has one line for people.
async function ask(path) {
  let answer;
  try {
    answer = await fetch(path, { signal: AbortSignal.timeout(15000) });
  } catch {
    throw new Error("The daemon does not answer.");
  }
  const value = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(value?.errors?.[0] ?? `The daemon answers with the status ${answer.status}.`);
  return value;
}

// --------------------------------------------------------------------------------------------------------------- Rows

// Draws only the rows of a list that are on the screen. One row is the active one, for the keyboard.
class Rows {
  constructor({ host, focus = host, scroller, make, draw, open, first = 0, key = null }) {
    Object.assign(this, { host, focus, scroller, make, draw, open, first, key });
    this.items = [];
    this.elements = new Map();
    this.active = null;
    this.height = 0;
    this.spacer = host === scroller ? host.appendChild(h("div", { class: "spacer", "aria-hidden": "true" })) : null;
    this.all = true;
    const paint = () => frame(this);
    scroller.addEventListener("scroll", paint, { passive: true });
    window.addEventListener("scroll", paint, { passive: true });
    new ResizeObserver(() => { this.height = 0; frame(this); }).observe(scroller);
    focus.addEventListener("keydown", (event) => this.pressed(event));
    focus.addEventListener("focus", () => {
      if (!this.activeItem() && this.items.length) this.move(0, false);
    });
    host.addEventListener("click", (event) => {
      const element = event.target.closest(".row");
      // A click at the end of a selection of text does not open the row.
      if (!element?.item || String(getSelection()).length) return;
      this.setActive(element.item);
      this.open(element.item, event);
    });
  }
  set(items) {
    this.items = items;
    this.all = true;
    frame(this);
  }
  setActive(item) {
    this.active = item?.key ?? null;
    frame(this);
  }
  activeItem() { return this.active === null ? undefined : this.items.find((each) => each.key === this.active); }
  pressed(event) {
    if (event.target !== this.focus || event.ctrlKey || event.altKey || event.metaKey) return;
    const at = this.items.findIndex((each) => each.key === this.active);
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / (this.height || 40)) - 2);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: this.items.length - 1 }[event.key];
    if (to !== undefined) this.move(to, true);
    else if ((event.key === "Enter" || event.key === " ") && at >= 0) this.open(this.items[at], event);
    else if (!(at >= 0 && this.key?.(event, this.items[at], at))) return;
    event.preventDefault();
  }
  move(to, scroll) {
    if (!this.items.length) return;
    const at = Math.min(Math.max(to, 0), this.items.length - 1);
    this.setActive(this.items[at]);
    if (scroll) this.show(at);
  }
  // Scroll until a row is seen.
  show(at) {
    this.measure();
    const { top, bottom } = this.seen(), place = this.host.getBoundingClientRect().top - (this.spacer ? this.scroller.scrollTop : 0) + at * this.height;
    const by = place < top ? place - top : place + this.height > bottom ? place + this.height - bottom : 0;
    if (!by) return;
    if (this.scrolls) this.scroller.scrollBy(0, by);
    else window.scrollBy(0, by);
  }
  seen() {
    const box = this.scrolls ? this.scroller.getBoundingClientRect() : { top: 0, bottom: innerHeight };
    const heads = this.focus === this.host ? 0 : 40;
    return { top: Math.max(0, box.top) + heads, bottom: Math.min(innerHeight, box.bottom) };
  }
  measure() {
    if (this.height) return;
    this.height = parseFloat(getComputedStyle(this.host).getPropertyValue("--row")) || 40;
    this.scrolls = getComputedStyle(this.scroller).overflowY !== "visible";
  }
  paint(touched) {
    if (!this.host.offsetParent) {
      // It is hidden. An empty list has no rows, and others are drawn when they are shown.
      if (!this.items.length) for (const element of this.elements.values()) element.remove();
      if (!this.items.length) this.elements.clear();
      return;
    }
    this.measure();
    const total = this.items.length, { top, bottom } = this.seen();
    const begin = this.host.getBoundingClientRect().top - (this.spacer ? this.scroller.scrollTop : 0);
    const from = Math.max(0, Math.floor((top - begin) / this.height) - 6);
    const to = Math.min(total, Math.ceil((bottom - begin) / this.height) + 6);
    const size = `${total * this.height}px`, sized = this.spacer ?? this.host;
    if (sized.style.height !== size) sized.style.height = size;
    const shown = [];
    for (let at = from; at < to; at++) shown.push(at);
    // The active row stays, because the focus refers to it.
    const active = this.active === null ? -1 : this.items.findIndex((each) => each.key === this.active);
    if (active >= 0 && active < from) shown.unshift(active);
    if (active >= to) shown.push(active);
    // Rows that are not seen any more are used again.
    const former = this.elements, free = [], keys = new Set(shown.map((at) => this.items[at].key));
    for (const [key, element] of former) if (!keys.has(key)) free.push(element);
    this.elements = new Map();
    let place = this.spacer ? this.spacer.nextSibling : this.host.firstChild;
    for (const at of shown) {
      const item = this.items[at];
      let element = former.get(item.key);
      const made = !element;
      if (made) {
        element = free.pop() ?? this.make();
        element.classList.remove("fresh");
      }
      if (made || this.all || element.item !== item || touched?.has(item.key)) {
        element.item = item;
        this.draw(element, item);
        if (touched?.has(item.key) && !item.everything && !reduced.matches) flash(element);
      }
      if (element.at !== at) {
        element.at = at;
        element.style.transform = `translateY(${at * this.height}px)`;
        if (this.first) mark(element, "aria-rowindex", at + this.first);
      } else if (element.height !== this.height) element.style.transform = `translateY(${at * this.height}px)`;
      element.height = this.height;
      element.classList.toggle("active", at === active);
      this.elements.set(item.key, element);
      if (element === place) place = place.nextSibling;
      else this.host.insertBefore(element, place);
    }
    for (const element of free) element.remove();
    mark(this.focus, "aria-activedescendant", active >= 0 ? this.elements.get(this.active).id : null);
    if (this.first) mark(this.focus, "aria-rowcount", total + 1);
    this.all = false;
  }
}

const reduced = matchMedia("(prefers-reduced-motion: reduce)");
const narrow = matchMedia("(max-width: 760px)");
let ids = 0;

// Rows that have just changed have another colour for a second. It is not an animation, which would draw them again in each frame.
const tinted = new Map();
function flash(element) {
  element.classList.add("fresh");
  tinted.set(element, performance.now());
}
setInterval(() => {
  const before = performance.now() - 900;
  for (const [element, at] of tinted) {
    if (at > before) continue;
    element.classList.remove("fresh");
    tinted.delete(element);
  }
}, 300);

// -------------------------------------------------------------------------------------------------------------- Route

// The fragment has the view, the open item and the search: #/services/NAME/INSTANCE?q=words, #/nodes/a/b, #/daemon, #/zookeeper.
const route = { view: "services", parts: [], query: "" };
const decode = (text) => { try { return decodeURIComponent(text); } catch { return text; } };

function readRoute() {
  const [path, query] = location.hash.slice(1).split("?");
  if (path && !path.startsWith("/")) return false;
  const [view, ...rest] = path.split("/").filter(Boolean).map(decode);
  route.view = ["services", "instances", "daemon", "nodes", "zookeeper"].includes(view) ? view : "services";
  route.parts = rest;
  route.query = new URLSearchParams(query ?? "").get("q") ?? "";
  return true;
}
function address(view, names = [], query = route.query) {
  return `#/${[view, ...names.map(encodeURIComponent)].join("/")}${query ? `?q=${encodeURIComponent(query)}` : ""}`;
}
function go(view, names = [], query = route.query) {
  const to = address(view, names, query);
  if (location.hash !== to) location.hash = to;
}

// ----------------------------------------------------------------------------------------------------------- Timeline

const SVG = "http://www.w3.org/2000/svg";
function s(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// Draw lanes of spans and marks: [{label, spans: [{from, to, kind, text}], marks: [{at, text}]}].
function drawTimeline(host, { from, to, lanes, name, rows = lanes.length }) {
  const width = Math.max(host.clientWidth, 200), narrow = width < 480, left = narrow ? 116 : 170, lane = 22, foot = 22;
  const height = rows * lane + foot, x = (at) => left + ((Math.min(Math.max(at, from), to) - from) / (to - from)) * (width - left - 2);
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": name });
  const id = `hatch-${host.id}`;
  svg.append(s("defs", {}, s("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, s("line", { class: "hatch", x1: 0, y1: 0, x2: 0, y2: 6 }))));
  const ticks = narrow ? 2 : 6;
  for (let i = 0; i <= ticks; i++) {
    const at = from + ((to - from) * i) / ticks, place = x(at), d = new Date((at - skew) * 1000);
    svg.append(s("line", { class: "grid-line", x1: place, x2: place, y1: 0, y2: rows * lane + 4 }));
    const words = to - from > 100000 ? `${day(d).slice(5)} ${clock(d).slice(0, 5)}` : to - from < 600 ? clock(d) : clock(d).slice(0, 5);
    svg.append(s("text", { x: place, y: height - 5, "text-anchor": i === 0 ? "start" : i === ticks ? "end" : "middle" }, i === ticks ? "now" : words));
  }
  lanes.forEach((each, i) => {
    const y = i * lane;
    const longest = narrow ? 17 : 26, label = line(each.label, 200);
    svg.append(s("text", { x: 0, y: y + 15 }, label.length > longest ? `${label.slice(0, longest - 1)}\u2026` : label, s("title", {}, label)));
    svg.append(s("rect", { class: "lane", x: left, y: y + 4, width: width - left - 2, height: lane - 8, rx: 3 }));
    for (const span of each.spans) {
      if (span.to < from || span.from > to) continue;
      const begin = x(span.from), size = Math.max(x(span.to) - begin, 2), box = { x: begin, y: y + 4, width: size, height: lane - 8, rx: 3 };
      svg.append(s("rect", { class: `span-${span.kind}`, ...box }, s("title", {}, line(span.text))));
      if (span.kind !== "passing") svg.append(s("rect", { fill: `url(#${id})`, "pointer-events": "none", ...box }));
    }
    for (const each2 of each.marks ?? []) {
      if (each2.at < from || each2.at > to) continue;
      const place = x(each2.at), middle = y + lane / 2;
      svg.append(s("path", { class: "mark", d: `M${place} ${middle - 6}l5 6-5 6-5-6z` }, s("title", {}, line(each2.text))));
    }
  });
  host.replaceChildren(svg);
}

// A table of events.
function eventTable(heads, rows) {
  return h("table", { class: "list" },
    h("thead", null, h("tr", null, ...heads.map((each) => h("th", { scope: "col" }, each)))),
    h("tbody", null, ...rows.map((cells) => h("tr", null, ...cells.map((each) => h("td", null, each))))));
}

// ----------------------------------------------------------------------------------------------------------- Services

const COLUMNS = [
  { id: "state", title: "State", of: (e) => ORDER[e.state] },
  { id: "what", title: "Instance", of: (e) => e.sortName },
  { id: "of", title: "Service", of: (e) => e.sortService, less: true },
  { id: "labels", title: "Labels", of: (e) => labelsOf(e), less: true },
  { id: "owner", title: "Owner", of: (e) => e.instance.owner ?? "", less: true },
  { id: "created", title: "Age", name: "Age of its znode", of: (e) => -(e.instance.created ?? 0), age: true },
  { id: "changed", title: "Changed", name: "Time since its latest change", of: (e) => -(e.instance.changed ?? 0), age: true, less: true },
];
const labelsOf = (entry) => line(Object.entries(entry.instance.labels ?? {}).map(([key, value]) => `${key}=${value}`).join("  "), 120);

const services = {
  order: [], list: null, sort: { id: "what", down: false }, words: [], shown: null, disturbed: false, opener: null,
  start() {
    this.list = new Rows({
      host: $("service-list"), scroller: $("service-list"),
      make: () => h("div", { class: "row", role: "option", id: `r${ids++}` },
        h("div", { class: "line" }, h("span", { class: "name" }), h("span", { class: "count" })), h("div", { class: "bar" })),
      draw: (row, item) => this.drawService(row, item),
      open: (item) => go(item.everything ? "instances" : "services", item.everything ? [] : [item.name]),
    });
    this.grid = new Rows({
      host: $("instance-rows"), focus: $("instances"), scroller: $("detail"), first: 2,
      make: () => this.makeInstance(), draw: (row, entry) => this.drawInstance(row, entry),
      open: (entry) => {
        this.opener = $("instances");
        go("services", [entry.service, entry.node]);
      },
    });
    $("instance-heads").append(...COLUMNS.map((column) => h("div", {
      role: "columnheader", class: `${column.id}${column.age ? " age" : ""}${column.less ? " less" : ""}`, "data-column": column.id,
    }, h("button", { type: "button", title: `Sort by ${(column.name ?? column.title).toLowerCase()}`, onclick: () => this.sortBy(column.id) }, column.title))));
    $("sort-again").addEventListener("click", () => { this.arrange(); wake(); });
    $("service-order").addEventListener("change", () => { this.arrangeServices(); wake(); });
    this.showSort();
  },
  matches(entry) { return this.words.every((word) => entry.text.includes(word)); },
  compare() {
    const { id, down } = this.sort, column = COLUMNS.find((each) => each.id === id), sign = down ? -1 : 1;
    return (a, b) => {
      const x = column.of(a), y = column.of(b);
      if (x !== y) return x < y ? -sign : sign;
      return a.sortName < b.sortName ? -1 : a.sortName > b.sortName ? 1 : a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
    };
  },
  sortBy(id) {
    this.sort = { id, down: this.sort.id === id && !this.sort.down };
    this.showSort();
    this.arrange();
    wake();
  },
  showSort() {
    for (const head of $("instance-heads").children) {
      mark(head, "aria-sort", head.dataset.column === this.sort.id ? (this.sort.down ? "descending" : "ascending") : null);
    }
  },
  chosen() { return route.view === "services" && route.parts.length ? route.parts[0] : null; },
  // Sort the instances. Later changes do not move a row: new ones are inserted, and the button sorts again.
  arrange() {
    const chosen = this.chosen(), from = chosen === null ? [...model.services.values()] : [model.services.get(chosen)].filter(Boolean);
    const all = [];
    for (const service of from) for (const entry of service.entries.values()) if (this.matches(entry)) all.push(entry);
    this.disturbed = false;
    this.grid.set(all.sort(this.compare()));
  },
  // Bring the sorted instances up to date without moving any.
  adapt() {
    let items = this.grid.items, changed = model.removed;
    if (model.removed) items = items.filter((each) => !each.gone);
    const chosen = this.chosen(), wanted = (entry) => !entry.gone && (chosen === null || entry.service === chosen);
    const fresh = model.added.filter((entry) => wanted(entry) && this.matches(entry));
    if (this.words.length && model.touched.size) {
      const there = new Set(items);
      for (const key of model.touched) {
        const cut = key.indexOf("/"), entry = model.services.get(key.slice(0, cut))?.entries.get(key.slice(cut + 1));
        if (!entry || !wanted(entry)) continue;
        if (there.has(entry) && !this.matches(entry)) {
          items = items.filter((each) => each !== entry);
          changed = true;
        } else if (!there.has(entry) && this.matches(entry) && !fresh.includes(entry)) fresh.push(entry);
      }
    }
    if (fresh.length) {
      const compare = this.compare();
      items = [...items];
      for (const entry of fresh.length > 500 ? [] : fresh) {
        let low = 0, high = items.length;
        while (low < high) {
          const middle = (low + high) >> 1;
          if (compare(items[middle], entry) < 0) low = middle + 1;
          else high = middle;
        }
        items.splice(low, 0, entry);
      }
      if (fresh.length > 500) items = [...items, ...fresh].sort(compare);
      changed = true;
    }
    if (!["what", "of"].includes(this.sort.id) && model.touched.size) this.disturbed = true;
    if (changed) this.grid.set(items);
  },
  arrangeServices() {
    const by = $("service-order").value, all = [...model.services.values()].filter((each) => this.serviceMatches(each));
    const compare = {
      name: () => 0,
      problems: (a, b) => b.problems - a.problems,
      changed: (a, b) => b.changed - a.changed,
    }[by];
    all.sort((a, b) => compare(a, b) || (a.sortName < b.sortName ? -1 : a.sortName > b.sortName ? 1 : 0));
    this.list.set([EVERYTHING, ...all]);
    $("no-services").hidden = !listed() || all.length > 0;
    put($("no-services"), route.query ? "Nothing matches the search." : "Nothing is registered yet. A service appears here as soon as it is.");
    $("no-services").style.top = "118px";
  },
  serviceMatches(service) {
    if (!this.words.length) return true;
    const name = service.name.toLowerCase();
    if (this.words.every((word) => name.includes(word))) return true;
    for (const entry of service.entries.values()) if (this.matches(entry)) return true;
    return false;
  },
  // Adapt the list of services: those that are known keep their places.
  adaptServices() {
    const items = this.list.items, known = new Set(items.map((each) => each.key));
    const gone = items.some((each) => !each.everything && model.services.get(each.name) !== each);
    const fresh = [...model.touchedServices].some((name) => model.services.has(name) && !known.has(name) && this.serviceMatches(model.services.get(name)));
    if (!gone && !fresh) return;
    if (!fresh) {
      this.list.set(items.filter((each) => each.everything || model.services.get(each.name) === each));
      $("no-services").hidden = this.list.items.length > 1;
    } else this.arrangeServices();
  },
  drawService(row, item) {
    const [top, bar] = row.children;
    const counts = item.everything ? totals() : item;
    const total = item.everything ? counts.total : item.entries.size;
    put(top.firstChild, item.everything ? "All services" : line(item.name, 120));
    put(top.lastChild, item.everything ? count(total, "instance") : `${number(item.usable)} of ${number(total)} usable`);
    const chosen = this.chosen();
    mark(row, "aria-selected", item.everything ? chosen === null : item.name === chosen);
    bar.classList.toggle("blank", total === 0);
    let sum = 0;
    [["--a", "passing"], ["--b", "warning"], ["--c", "held"], ["--d", "down"]].forEach(([name, kind]) => {
      sum += counts.count(kind) + (kind === "down" ? counts.count("unreadable") : 0);
      const share = `${total ? ((sum / total) * 100).toFixed(2) : 0}%`;
      if (bar.style.getPropertyValue(name) !== share) bar.style.setProperty(name, share);
    });
  },
  makeInstance() {
    const cell = (name, ...children) => h("div", { role: "gridcell", class: name }, ...children);
    return h("div", { class: "row", role: "row", id: `r${ids++}` },
      cell("state", h("span", { class: "dot", "aria-hidden": "true" }), h("span", null)),
      cell("what", h("div", { class: "address" }), h("div", { class: "sub" })),
      cell("of"), cell("labels"), cell("owner"), cell("age created", h("time", null)), cell("age changed", h("time", null)));
  },
  drawInstance(row, entry) {
    const [kind, what, of, labels, owner, created, changed] = row.children, { instance } = entry;
    setState(kind, entry.state, STATES[entry.state]);
    mark(kind, "title", MEANINGS[entry.state] + (instance.reason ? ` ${line(instance.reason)}` : ""));
    const where = line(entry.address, 100), name = line(entry.node, 100);
    put(what.firstChild, where || name);
    const more = [entry.address === entry.node ? "" : where ? name : "", instance.reason ? line(instance.reason, 120) : ""].filter(Boolean).join(" \u00b7 ");
    put(what.lastChild, more || (narrow.matches ? labelsOf(entry) : ""));
    what.lastChild.hidden = !what.lastChild.textContent;
    put(of, line(entry.service, 100));
    put(labels, labelsOf(entry));
    put(owner, line(instance.owner ?? "persistent", 40));
    mark(owner, "title", instance.owner ? `The session ${line(instance.owner, 40)}` : "No session owns it: it stays until somebody deletes it.");
    for (const [cell, at] of [[created, instance.created], [changed, instance.changed]]) {
      if (at) setAge(cell.firstChild, at);
      else put(cell.firstChild, "\u2013");
    }
  },
  // Draw the heading, the counts and the cards.
  drawHead() {
    const chosen = this.chosen(), service = chosen === null ? null : model.services.get(chosen);
    put($("detail-title"), chosen === null ? "All services" : line(chosen));
    const path = $("detail-path");
    if (chosen === null) {
      const own = totals();
      redraw(path, ["all", model.services.size, own.total, listed()], () => [listed() ? `${count(own.total, "instance")} of ${count(model.services.size, "service")}` : "Waiting for the list."]);
    } else if (service) {
      redraw(path, [service.path, service.reason], ([value, reason]) => [
        h("a", { href: address("nodes", value.split("/").filter(Boolean), "") }, ...breakable(line(value))),
        ...(reason ? breakable(`: its instances cannot be read: ${line(reason)}`) : []),
      ]);
    } else redraw(path, ["gone", listed()], () => [listed() ? "It is not registered at the moment." : "Waiting for the list."]);
    const counts = service ?? (chosen === null ? totals() : { count: () => 0 });
    const kinds = Object.keys(STATES).filter((kind) => counts.count(kind));
    keep($("tally"), kinds, (kind) => kind, (kind) => h("li", { class: `chip ${kind}`, title: MEANINGS[kind] }, h("span", { class: "dot", "aria-hidden": "true" }), h("span", null)),
      (element, kind) => put(element.lastChild, `${number(counts.count(kind))} ${STATES[kind]}`));
    $("instances").classList.toggle("one", chosen !== null);
    $("sort-again").hidden = !this.disturbed;
    const none = this.grid.items.length === 0;
    $("instances").hidden = none;
    $("no-instances").hidden = !none || !listed();
    put($("no-instances"), route.query ? "No instance matches the search." : chosen === null ? "Nothing is registered yet. An instance appears here as soon as it is." : "No instance is registered at the moment.");
    // This daemon's own registrations of the service, with their checks.
    keep($("own"), ownOf(chosen), (each) => each.id, makeCard, drawCard);
  },
};
// The services of this daemon that it registers, or would register, below the service with a name.
function ownOf(name) {
  const path = model.services.get(name)?.path ?? (name === null || !model.catalog ? null : `${model.catalog.root === "/" ? "" : model.catalog.root}/${name}`);
  return path === null ? [] : (model.daemon?.services ?? []).filter((each) => each.path === path || String(each.path).startsWith(`${path}/`));
}
const EVERYTHING = { key: "\0everything", everything: true };

let sums = null;
function totals() {
  if (sums) return sums;
  const counts = new Map();
  let total = 0;
  for (const service of model.services.values()) {
    total += service.entries.size;
    for (const [kind, n] of service.counts) counts.set(kind, (counts.get(kind) ?? 0) + n);
  }
  return (sums = { total, count: (kind) => counts.get(kind) ?? 0 });
}

// --------------------------------------------------------------------------------------------------------- One service

const timeline = {
  of: null, history: null, own: [], timer: 0, asked: 0, dirty: false, rows: 3,
  open(name) {
    if (this.of === name) return;
    this.of = name;
    this.history = null;
    this.own = [];
    clearTimeout(this.timer);
    this.timer = 0;
    this.asked = 0;
    $("timeline").hidden = name === null;
    if (name === null) return;
    // The height stays as it is while the service is open, so that nothing below moves.
    this.rows = Math.min(Math.max((model.services.get(name)?.entries.size ?? 0) + ownOf(name).length, 3), 8);
    $("timeline-drawing").style.height = `${this.rows * 22 + 22}px`;
    $("timeline-drawing").replaceChildren();
    $("timeline-list").shown = null;
    this.read();
  },
  // Read the history again: at once, but not more often than every two seconds.
  read() {
    if (this.timer || this.of === null) return;
    this.timer = setTimeout(async () => {
      const name = this.of;
      this.asked = performance.now();
      try {
        const own = ownOf(name).slice(0, 4).map((each) => ask(`/v1/daemon/services/${encodeURIComponent(each.id)}`).catch(() => null));
        // One of the daemon's own may never have been registered: then there is no such service.
        const history = model.services.has(name)
          ? await ask(`/v1/services/${encodeURIComponent(name)}/history`)
          : this.history ?? { since: now(), events: [] };
        const known = (await Promise.all(own)).filter(Boolean);
        if (this.of === name) [this.history, this.own] = [history, known];
      } catch (error) {
        if (this.of === name && !this.history) this.history = { since: now(), events: [], error: error.message };
      }
      this.timer = 0;
      this.draw();
      if (this.dirty && this.of === name) {
        this.dirty = false;
        this.read();
      }
    }, Math.max(0, this.asked ? 2000 - (performance.now() - this.asked) : 0));
  },
  changed() {
    if (this.timer) this.dirty = true;
    else this.read();
  },
  draw() {
    if (this.of === null || !this.history || $("timeline").hidden) return;
    const to = now(), { events = [], since = to } = this.history;
    // Before the daemon has followed the service there is nothing to draw.
    const from = Math.max(to - Number($("span").value), Math.min(since, to - 60));
    const service = model.services.get(this.of), lanes = [...this.own.map((each) => ownLane(each, to)), ...makeLanes(events, since, to, service)];
    const shown = lanes.slice(0, this.rows), more = lanes.length - shown.length;
    const changing = lanes.filter((each) => each.eventful).length;
    const words = `Timeline of ${line(this.of, 80)}: ${count(lanes.length - this.own.length, "instance")}, ${changing ? `${number(changing)} with changes` : "without changes"} since ${exact(Math.max(since, from))}. The list below has the events.`;
    drawTimeline($("timeline-drawing"), { from, to, lanes: shown, name: words, rows: this.rows });
    const kinds = [...new Set(shown.flatMap((each) => each.spans.map((span) => span.kind)))];
    const names = { ...STATES, maintenance: "maintenance", lost: "not connected", off: "unknown" };
    const moved = shown.some((each) => each.marks.length);
    redraw($("timeline-legend"), [kinds, more, moved, exact(since)], () => [
      ...kinds.map((kind) => h("li", null, state(kind === "maintenance" ? "held" : kind === "lost" ? "warning" : kind, names[kind]))),
      moved && h("li", { class: "session" }, h("span", { class: "dot", "aria-hidden": "true" }), "new session"),
      more > 0 && h("li", null, `and ${count(more, "other instance")}`),
      h("li", null, "followed for ", age(since)),
    ].filter(Boolean));
    redraw($("timeline-list"), [events.length, events.at(-1) ?? null, this.history.error ?? null], () => [
      this.history.error ? h("p", { class: "note" }, line(this.history.error))
        : events.length ? eventTable(["When", "Instance", "Event"], events.slice(-100).reverse().map((each) => [age(each.time, " ago"), line(each.instance ?? "all", 100), line(sentence(each))]))
          : h("p", { class: "note" }, "Nothing has changed since the daemon began to follow this service."),
    ]);
  },
};

function sentence(each) {
  const detail = each.detail ? `: ${each.detail}` : "";
  const status = each.status ? String(each.status) : "";
  return {
    appeared: `It appeared${status ? `, ${status}` : ""}${detail}.`,
    gone: `It is gone${detail}.`,
    changed: detail ? `It changed${detail}.` : "Its data changed.",
    status: `It is ${status} now${detail}.`,
    session: `The session ${each.owner ?? "(none)"} owns it now${detail}.`,
    stale: `The connection to ZooKeeper was lost: the list may be old${detail}.`,
    settled: `The list is up to date again${detail}.`,
  }[each.event] ?? `${each.event}${detail}.`;
}

// Make the lanes of a timeline from the events: those that changed last come first.
function makeLanes(events, since, to, service) {
  const lanes = new Map(), outages = [];
  const lane = (name) => {
    if (!lanes.has(name)) lanes.set(name, { label: name, spans: [], marks: [], open: null, last: 0, eventful: false });
    return lanes.get(name);
  };
  const close = (each, at) => {
    if (each.open) each.spans.push({ ...each.open, to: at });
    each.open = null;
  };
  for (const event of events) {
    if (event.event === "stale" || event.event === "settled") {
      if (event.event === "stale") outages.push({ from: event.time, to, kind: "lost", text: "not connected to ZooKeeper" });
      else if (outages.length) outages.at(-1).to = event.time;
      continue;
    }
    if (!event.instance) continue;
    const each = lane(event.instance), kind = event.status ? kindOf(event.status) : each.open?.kind ?? "passing";
    if (!each.eventful && event.event !== "appeared") each.open = { from: since, kind: event.event === "session" ? kind : "off", text: "before" };
    each.eventful = true;
    each.last = event.time;
    if (event.event === "session") each.marks.push({ at: event.time, text: `${exact(event.time)}: ${sentence(event)}` });
    if (event.event === "gone") close(each, event.time);
    else if (!each.open || each.open.kind !== kind) {
      close(each, event.time);
      each.open = { from: event.time, kind, text: `${exact(event.time)}: ${sentence(event)}` };
    }
  }
  for (const entry of service?.entries.values() ?? []) {
    const each = lane(entry.node);
    if (!each.open) each.open = { from: each.eventful ? each.last : Math.max(since, entry.instance.created ?? since), kind: entry.state, text: STATES[entry.state] };
    if (lanes.size > 2000) break;
  }
  for (const each of lanes.values()) close(each, to);
  const all = [...lanes.values()].sort((a, b) => b.last - a.last || (sortable(a.label) < sortable(b.label) ? -1 : 1));
  if (outages.length) all.unshift({ label: "ZooKeeper", spans: outages, marks: [], eventful: false });
  return all;
}
// The lane of one of this daemon's own services: its conditions.
function ownLane(each, to) {
  const spans = (each.transitions ?? []).map((change, i, all) => ({
    from: change.time, to: all[i + 1]?.time ?? to, kind: change.after === "maintenance" ? "maintenance" : CONDITIONS[change.after] ?? "off",
    text: `${exact(change.time)}: ${change.after}. ${change.reason ?? ""}`,
  }));
  return { label: `here: ${each.id}`, spans, marks: [], last: 0, eventful: false };
}
const kindOf = (status) => ({ up: "passing", ok: "passing" }[status] ?? (Object.hasOwn(STATES, status) ? status : "off"));

// -------------------------------------------------------------------------------------------------- The daemon's services

const CONDITIONS = { registered: "passing", down: "down", maintenance: "held", drained: "held", blocked: "warning", registering: "warning" };
const CHECKS = { passing: "passing", ok: "passing", up: "passing", warning: "warning", warn: "warning", failing: "down", fail: "down", down: "down" };

function makeCard() {
  return h("article", { class: "card" }, h("div", { class: "card-head" }, h("h3", null), state("off", "", "chip")),
    h("p", { class: "why" }), h("p", { class: "next" }), h("div", null), h("p", { class: "znodes" }));
}
function drawCard(card, each) {
  const [head, why, next, checks, znodes] = card.children;
  put(head.firstChild, line(each.id));
  setState(head.lastChild, CONDITIONS[each.condition] ?? "off", line(each.condition), "chip");
  putBreakable(why, line(each.why, 600));
  redraw(next, [each.next, each.since, each.session], () => [
    ...breakable(`Next: ${line(each.next)}.`), ...(each.since ? [" Like this for ", age(each.since), "."] : []), each.session ? ` Session ${line(each.session)}.` : "",
  ]);
  redraw(checks, each.checks ?? [], (list) => (list.length ? [h("table", { class: "list" },
    h("thead", null, h("tr", null, ...["Check", "State", "Last result", "When"].map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", null, ...list.map((check) => h("tr", null,
      h("td", null, line(check.name, 80), h("span", { class: "note" }, check.type && check.type !== check.name ? ` ${line(check.type, 40)}` : "")),
      h("td", { class: "tight" }, state(CHECKS[check.state] ?? "off", line(check.state, 40))),
      h("td", null, ...breakable(checkResult(check))),
      h("td", { class: "tight" }, age(check.time))))))] : []));
  redraw(znodes, each.znodes ?? [], (list) => list.flatMap((node, i) => [
    i ? ", " : "", h("a", { class: "mono", href: address("nodes", String(node.path).split("/").filter(Boolean), "") }, ...breakable(line(node.path))), ` ${line(node.state)}`,
  ]));
}
function checkResult(check) {
  if (check.stuck) return "It has not ended yet.";
  const took = typeof check.seconds === "number" ? `${number(Math.round(check.seconds * 1000))} ms` : "";
  return [line(check.output ?? "", 300), took].filter(Boolean).join(" \u00b7 ") || "none yet";
}

const ownView = {
  draw() {
    const { daemon } = model;
    if (!daemon) return;
    redraw($("daemon-line"), [daemon.version, daemon.pid, daemon.started, daemon.files], () => [
      `txmirror ${line(daemon.version)}, process ${line(daemon.pid)}, running for `, age(daemon.started),
      ...(daemon.files?.length ? breakable(`, configured by ${line(daemon.files.join(", "))}`) : []),
    ]);
    const flags = Object.entries(daemon.maintenance ?? {});
    redraw($("daemon-flags"), [flags, daemon.drained, daemon.stopping, daemon.refused, daemon.stuck_checks], () => [
      daemon.stopping && h("p", { class: "flag" }, "It is stopping."),
      daemon.drained && h("p", { class: "flag" }, "All services are withdrawn until the drain is undone."),
      daemon.refused && h("p", { class: "flag bad" }, "ZooKeeper refuses its credentials."),
      ...flags.map(([name, flag]) => h("p", { class: "flag" }, h("span", null, `In maintenance: ${name === "" || name === "host" || name === "*" ? "all services" : line(name)}. ${line(flag.reason)}${flag.until ? `, until ${exact(flag.until)}` : ""}`, " (for ", age(flag.since), ")"))),
      daemon.stuck_checks?.length > 0 && h("p", { class: "flag bad" }, `Checks that do not end: ${line(daemon.stuck_checks.join(", "))}.`),
    ].filter(Boolean));
    const own = daemon.services ?? [];
    keep($("daemon-services"), own, (each) => each.id, makeCard, drawCard);
    $("no-own").hidden = own.length > 0;
    redraw($("daemon-files"), daemon.output_files ?? [], (files) => (files.length ? [
      h("h3", { class: "section" }, "Output files"),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Output files" },
        h("table", { class: "list" }, h("thead", null, h("tr", null, ...["File", "State", "Instances", "Problem"].map((each) => h("th", { scope: "col" }, each)))),
          h("tbody", null, ...files.map((each) => h("tr", null, h("td", { class: "mono" }, ...breakable(line(each.file))), h("td", null, line(each.state)), h("td", null, line(each.instances)), h("td", null, ...breakable(line(each.problem ?? "none"))))))))] : []));
  },
};

// ---------------------------------------------------------------------------------------------------------- ZooKeeper

const ensemble = {
  latencies: [],
  draw() {
    const { zookeeper } = model;
    if (!zookeeper) return;
    const servers = Array.isArray(zookeeper.servers) ? zookeeper.servers.join(",") : zookeeper.servers;
    put($("zookeeper-line"), line(servers ?? "", 400));
    const latency = typeof zookeeper.latency === "number" ? `${(zookeeper.latency * 1000).toFixed(zookeeper.latency < 0.01 ? 1 : 0)} ms` : "\u2013";
    const tiles = [
      ["Connection", zookeeper.connected ? "connected" : "not connected"],
      ["Server", line(zookeeper.server ?? "\u2013"), "mono"],
      ["Session", line(zookeeper.session ?? "\u2013"), "mono"],
      ["Session timeout", zookeeper.session_timeout ? `${number(zookeeper.session_timeout)} s` : "\u2013"],
      ["Latency", latency],
      ["Watches held", zookeeper.watches === null || zookeeper.watches === undefined ? "\u2013" : number(zookeeper.watches)],
    ];
    keep($("zookeeper-tiles"), tiles, ([name]) => name, ([name]) => h("div", { class: "tile" }, h("dt", null, name), h("dd", null)), (tile, [name, value, form]) => {
      mark(tile.lastChild, "class", form ?? (name === "Connection" ? (zookeeper.connected ? "passing" : "down") : ""));
      put(tile.lastChild, value);
    });
    this.drawOutages();
  },
  drawOutages() {
    if ($("view-zookeeper").hidden || !model.zookeeper) return;
    const outages = model.zookeeper.outages ?? [], to = now(), from = to - Number($("outage-span").value);
    const begun = model.daemon?.started;
    const spans = outages.map((each) => ({ from: each.began, to: each.ended ?? to, kind: "down", text: `${exact(each.began)}, ${duration((each.ended ?? to) - each.began)}: ${each.reason ?? "not connected"}` }));
    if (begun) {
      let at = begun;
      for (const each of [...spans]) {
        spans.push({ from: at, to: each.from, kind: "passing", text: "connected" });
        at = each.to;
      }
      spans.push({ from: at, to, kind: "passing", text: "connected" });
    }
    drawTimeline($("outage-drawing"), { from, to, lanes: [{ label: "Connection", spans }], name: outages.length ? `${count(outages.length, "disconnection")}; the table has them.` : "No disconnection so far." });
    redraw($("outage-list"), outages, () => [outages.length
      ? eventTable(["Began", "Lasted", "Reason"], [...outages].reverse().map((each) => [age(each.began, " ago"), each.ended ? duration(each.ended - each.began) : h("b", null, "not over"), line(each.reason ?? "\u2013")]))
      : h("p", { class: "note" }, "There was no disconnection since the daemon started.")]);
  },
};

// --------------------------------------------------------------------------------------------------------------- Tree

const tree = {
  nodes: new Map(), // by path: {path, name, depth, children, node, error, open, asking}
  rows: null, selected: "/", hidden: false, turn: 0,
  start() {
    this.rows = new Rows({
      host: $("tree"), scroller: $("tree"),
      make: () => h("div", { class: "row", role: "treeitem", id: `r${ids++}` }, h("span", { class: "twist", "aria-hidden": "true" }), h("span", { class: "label" })),
      draw: (row, item) => this.drawRow(row, item),
      open: (item, event) => {
        if (event.type === "click" && (event.target.classList.contains("twist") || this.selected === item.path)) this.toggle(item);
        else if (event.type !== "click" && this.selected === item.path) this.toggle(item);
        this.select(item.path);
      },
      key: (event, item, at) => this.pressed(event, item, at),
    });
    this.get("/").open = true;
  },
  get(path) {
    let item = this.nodes.get(path);
    if (!item) {
      const name = path === "/" ? "/" : path.slice(path.lastIndexOf("/") + 1);
      item = { key: path, path, name, depth: path === "/" ? 0 : path.split("/").length - 1, children: null, node: null, error: null, open: false, asking: false, at: 0 };
      this.nodes.set(path, item);
    }
    return item;
  },
  select(path) { go("nodes", path.split("/").filter(Boolean), ""); },
  toggle(item, open = !item.open) {
    if (item.children && !item.children.length) return;
    item.open = open;
    if (open) this.load(item);
    this.arrange();
  },
  pressed(event, item, at) {
    if (event.key === "ArrowRight") {
      if (!item.open) this.toggle(item, true);
      else if (item.children?.length) this.rows.move(at + 1, true);
    } else if (event.key === "ArrowLeft") {
      if (item.open && item.children?.length) this.toggle(item, false);
      else if (item.path !== "/") this.rows.move(this.rows.items.indexOf(this.get(parentOf(item.path))), true);
    } else if (event.key.length === 1 && event.key !== "/" && !/[1-4]/.test(event.key)) {
      const items = this.rows.items, letter = event.key.toLowerCase();
      for (let i = 1; i <= items.length; i++) {
        const to = (at + i) % items.length;
        if (items[to].name.toLowerCase().startsWith(letter)) return this.rows.move(to, true), true;
      }
    } else return false;
    return true;
  },
  // Open the node that the fragment names, and the nodes above it.
  show(names) {
    const path = `/${names.join("/")}`;
    let above = "/";
    for (const name of names) {
      const item = this.get(above);
      item.open = true;
      if (!item.children) this.load(item);
      above = above === "/" ? `/${name}` : `${above}/${name}`;
    }
    this.selected = path;
    this.hidden = true;
    const item = this.get(path);
    this.rows.setActive(item);
    this.load(item);
    if (!this.get("/").children) this.load(this.get("/"));
    this.arrange();
    this.drawNode();
  },
  // Scroll to the selected node, as soon as it is in the tree.
  reveal() {
    // Those before it appear as the nodes above it are read.
    const placed = (path) => path === "/" || (this.get(parentOf(path)).children !== null && placed(parentOf(path)));
    const at = this.hidden && placed(this.selected) ? this.rows.items.findIndex((each) => each.path === this.selected) : -1;
    if (at < 0) return;
    this.hidden = false;
    this.rows.show(at);
  },
  async load(item) {
    if (item.asking) return;
    item.asking = true;
    try {
      const node = await ask(`/v1/nodes/${item.path.slice(1).split("/").map(encodeURIComponent).join("/")}`);
      item.node = node;
      item.error = null;
      const former = item.children?.join("\n");
      const names = (node.children ?? []).map((name) => [sortable(name), name]);
      item.children = names.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0)).map(([, name]) => name);
      if (item.children.join("\n") !== former) this.arrange();
    } catch (error) {
      item.error = error.message;
    }
    item.at = performance.now();
    item.asking = false;
    this.rows.all = true;
    frame(this.rows);
    if (this.selected === item.path) this.drawNode();
  },
  arrange() {
    const items = [], walk = (item, place, size) => {
      item.place = place;
      item.size = size;
      items.push(item);
      if (!item.open) return;
      const names = item.children ?? [...this.nodes.keys()].filter((path) => path !== "/" && parentOf(path) === item.path).map((path) => this.get(path).name);
      names.forEach((name, i) => walk(this.get(item.path === "/" ? `/${name}` : `${item.path}/${name}`), i + 1, names.length));
    };
    walk(this.get("/"), 1, 1);
    this.rows.set(items);
  },
  drawRow(row, item) {
    put(row.lastChild, line(item.name, 160) + (item.error ? ` (${line(item.error, 80)})` : ""));
    row.lastChild.classList.toggle("error", Boolean(item.error));
    row.style.setProperty("--depth", Math.min(item.depth, 20));
    mark(row, "aria-level", item.depth + 1);
    mark(row, "aria-posinset", item.place);
    mark(row, "aria-setsize", item.size);
    mark(row, "aria-selected", item.path === this.selected);
    mark(row, "aria-expanded", item.children && !item.children.length ? null : item.open);
  },
  drawNode() {
    const item = this.get(this.selected), { node } = item;
    redraw($("node"), [item.path, node, item.error], () => [
      h("h2", null, ...breakable(line(item.path, 600))),
      item.error && h("p", { class: "reason" }, ...breakable(line(item.error))),
      ...(node ? this.describe(node) : item.error ? [] : [h("p", { class: "note" }, "Reading it.")]),
    ].filter(Boolean));
  },
  describe(node) {
    const stat = node.stat ?? {}, { text, base64 } = node.data ?? {};
    const empty = !text && !base64, owner = stat.ephemeralOwner;
    const ephemeral = owner && !/^0x0*$/.test(String(owner)) && owner !== 0;
    return [
      h("h3", { class: "section" }, base64 ? "Data (binary, in base64)" : "Data"),
      empty ? h("p", { class: "note" }, "It has no data.") : h("pre", { class: "text", tabindex: "0", role: "region", "aria-label": "Data" }, block(base64 ?? pretty(text))),
      node.stale && h("p", { class: "note" }, `ZooKeeper is out of reach: this was read ${duration(node.age)} ago.`),
      node.truncated && h("p", { class: "note" }, `This is only the beginning of ${count(stat.dataLength ?? 0, "byte")}.`),
      h("h3", { class: "section" }, "Stat"),
      facts([
        ["Created", stat.ctime ? age(stat.ctime, " ago") : null], ["Modified", stat.mtime ? age(stat.mtime, " ago") : null],
        ["Kind", ephemeral ? "ephemeral" : "persistent"], ["Owner", ephemeral ? h("span", { class: "mono" }, `session ${line(owner)}`) : null],
        ["Version", line(stat.version)], ["Children", `${number(stat.numChildren ?? 0)}${node.children_truncated ? " (not all are listed)" : ""}`], ["Data length", count(stat.dataLength ?? 0, "byte")],
        ["cversion, aversion", `${line(stat.cversion)}, ${line(stat.aversion)}`],
        ["czxid, mzxid, pzxid", h("span", { class: "mono" }, [stat.czxid, stat.mzxid, stat.pzxid].map((each) => line(each)).join(", "))],
      ]),
      h("h3", { class: "section" }, "ACL"),
      node.acl ? h("table", { class: "list" }, h("thead", null, h("tr", null, ...["Scheme", "Id", "Permissions"].map((each) => h("th", { scope: "col" }, each)))),
        h("tbody", null, ...node.acl.slice(0, 100).map((each) => h("tr", null, h("td", null, line(each.scheme)), h("td", { class: "mono" }, line(each.id)), h("td", null, line((each.permissions ?? []).join(", ")))))))
        : h("p", { class: "note" }, "It cannot be read at the moment."),
    ].filter(Boolean);
  },
  // Read one of the open nodes again: the selected one every second time.
  refresh() {
    const open = [...this.nodes.values()].filter((each) => each.open && each.children);
    const item = this.turn++ % 2 || !open.length ? this.get(this.selected) : open[(this.turn >> 1) % open.length];
    if (performance.now() - item.at > 900) this.load(item);
  },
};
const parentOf = (path) => path.slice(0, path.lastIndexOf("/")) || "/";

function pretty(text) {
  if (text.length > LONGEST_TEXT || !/^\s*[[{]/.test(text)) return text;
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}
function facts(pairs) {
  return h("dl", { class: "facts" }, ...pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)]));
}

// -------------------------------------------------------------------------------------------------- One instance's panel

const panel = {
  of: null,
  sync() {
    const open = route.view === "services" && route.parts.length > 1;
    const key = open ? `${route.parts[0]}/${route.parts[1]}` : null;
    if (key !== this.of) {
      const was = this.of;
      this.of = key;
      $("panel").hidden = !open;
      if (open) {
        this.draw();
        $("panel-title").focus({ preventScroll: true });
      } else if (was !== null) (services.opener ?? $("instances")).focus({ preventScroll: true });
    }
  },
  close() { go("services", route.parts.slice(0, 1)); },
  draw() {
    if (this.of === null) return;
    const entry = model.services.get(route.parts[0])?.entries.get(route.parts[1]);
    put($("panel-title"), line(route.parts[1], 200));
    redraw($("panel-body"), entry ? entry.instance : model.known, (value) => (entry ? this.describe(entry, value) : [h("p", { class: "note" }, value ? "It is not registered at the moment." : "Waiting for the list.")]));
  },
  describe(entry, instance) {
    const { labels, endpoints, data } = instance;
    const pairs = Object.entries(labels ?? {}), named = Object.entries(endpoints ?? {});
    const value = data === null || data === undefined ? "" : typeof data === "string" ? data : JSON.stringify(data, null, 2);
    return [
      state(entry.state, STATES[entry.state], "chip"),
      instance.reason ? h("p", { class: "reason" }, ...breakable(line(instance.reason, 600))) : h("p", { class: "note" }, MEANINGS[entry.state]),
      facts([
        ["Service", line(entry.service)], ["Address", h("span", { class: "mono" }, line(entry.address) || "\u2013")],
        ["TLS port", instance.tls_port ? line(instance.tls_port) : null], ["Status", line(instance.status)], ["Weight", instance.weight === null || instance.weight === undefined ? null : line(instance.weight)],
        ["Registered", instance.created ? age(instance.created, " ago") : null], ["Changed", instance.changed ? age(instance.changed, " ago") : null],
        ["Version", instance.version === null || instance.version === undefined ? null : line(instance.version)],
        ["Owner", instance.owner ? h("span", { class: "mono" }, `session ${line(instance.owner)}`) : "none: it stays until somebody deletes it"],
        ["Process", instance.pid ? line(instance.pid) : null], ["Id", instance.id ? h("span", { class: "mono" }, line(instance.id)) : null], ["Codec", line(instance.codec)],
        ["Znode", instance.path ? h("a", { class: "mono", href: address("nodes", String(instance.path).split("/").filter(Boolean), "") }, ...breakable(line(instance.path, 600))) : null],
      ]),
      pairs.length > 0 && h("h3", { class: "section" }, "Labels"),
      pairs.length > 0 && facts(pairs.slice(0, 100).map(([key, each]) => [line(key, 80), line(each)])),
      named.length > 0 && h("h3", { class: "section" }, "Other endpoints"),
      named.length > 0 && facts(named.slice(0, 100).map(([key, each]) => [line(key, 80), h("span", { class: "mono" }, line(`${each?.address}:${each?.port}`))])),
      h("h3", { class: "section" }, "Data"),
      value && value !== "{}" ? h("pre", { class: "text", tabindex: "0", role: "region", "aria-label": "Data" }, block(value)) : h("p", { class: "note" }, "It has no other data."),
    ].filter(Boolean);
  },
};

// --------------------------------------------------------------------------------------------------------- The sentence

function drawStrip() {
  const { zookeeper, daemon } = model, at = now();
  const away = (zookeeper && !zookeeper.connected) || model.catalog?.stale;
  const source = model.catalog?.stale ? "catalog" : "zookeeper";
  let kind = "", words, fresh = "";
  if (!stream.open) {
    const seconds = at - (stream.lostAt || at);
    kind = model.known ? "old" : stream.lostAt ? "old" : "";
    words = !stream.lostAt ? "Connecting to the daemon." : `${stream.problem || "The connection to the daemon is lost."} This page connects again by itself.`;
    if (stream.lostAt && model.known) fresh = `as of ${duration(seconds)} ago`;
  } else if (away) {
    kind = "old";
    const old = (model[source].age ?? 0) + (at - model.at[source]);
    words = `${listed() ? "ZooKeeper is out of reach: this is the last known state." : "ZooKeeper is out of reach."} ${daemon?.summary ? sentenceOf(daemon.summary.replace(/; [^;]*$/, "")) : ""}`;
    if (listed()) fresh = `as of ${duration(old)} ago`;
  } else {
    const bad = (daemon?.services ?? []).some((each) => ["down", "blocked"].includes(each.condition));
    kind = !listed() ? "" : bad ? "problem" : "live";
    const all = totals();
    words = daemon?.services?.length && daemon.summary ? sentenceOf(daemon.summary)
      : listed() && zookeeper?.connected ? `Connected to ZooKeeper: ${count(model.services.size, "service")}, ${count(all.total, "instance")}.` : listed() ? "Connected to ZooKeeper." : "Reading the services.";
    fresh = listed() ? "live" : "";
  }
  mark($("strip"), "data-kind", kind);
  put($("summary"), line(words.trim(), 400));
  put($("freshness"), fresh);
  mark(document.documentElement, "data-state", kind || "starting");
  // The age counts up: only the change is announced.
  if ($("announcement").kind !== kind && kind) {
    if (kind === "old") put($("announcement"), words);
    else if ($("announcement").kind === "old") put($("announcement"), "The page is up to date again.");
    $("announcement").kind = kind;
  }
}
// Whether there is a list of services, perhaps an old one.
const listed = () => model.known && model.catalog?.known !== false;
const sentenceOf = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;

// -------------------------------------------------------------------------------------------------------------- Frames

// All changes until the next frame are drawn together.
let waiting = 0, drawn = false;
const pending = new Set();
function wake() { waiting ||= requestAnimationFrame(draw); }
function frame(rows) {
  pending.add(rows);
  wake();
}

function draw() {
  waiting = 0;
  const { touched, touchedServices } = model;
  if (model.known) {
    if (model.replaced || model.removed || model.added.length || touched.size || touchedServices.size) sums = null;
    if (model.replaced) {
      services.arrange();
      services.arrangeServices();
      if (route.view === "services") {
        timeline.open(null);
        timeline.open(services.shown);
      }
    } else if (touchedServices.size || model.removed) {
      services.adapt();
      services.adaptServices();
      if (timeline.of !== null && touchedServices.has(timeline.of)) timeline.changed();
    }
  }
  drawStrip();
  if (route.view === "services" || route.view === "instances") {
    services.drawHead();
    services.list.paint(touchedServices.size ? touchedServices.add(EVERYTHING.key) : null);
    services.grid.paint(touched);
    panel.draw();
  } else if (route.view === "daemon") ownView.draw();
  else if (route.view === "zookeeper") ensemble.draw();
  else if (route.view === "nodes") {
    tree.rows.paint(null);
    tree.reveal();
  }
  model.added = [];
  model.removed = model.replaced = false;
  model.touched = new Set();
  model.touchedServices = new Set();
  pending.clear();
  if (model.known && !drawn) {
    drawn = true;
    performance.mark("txmirror-drawn");
    mark(document.documentElement, "data-drawn", "");
  }
}

// Once a second: the ages.
function tick() {
  const at = now();
  for (const element of document.querySelectorAll("time[data-at]")) drawAge(element, at);
}

function routed() {
  if (!readRoute()) {
    if (location.hash === "#main") $("main").focus();
    return;
  }
  const view = route.view === "instances" ? "services" : route.view;
  for (const section of document.querySelectorAll(".view")) section.hidden = section.id !== `view-${view}`;
  for (const link of $("tabs").children) mark(link, "aria-current", link.dataset.view === view ? "page" : null);
  if (document.activeElement !== $("search")) $("search").value = route.query;
  document.title = `${view === "services" && route.parts.length ? `${line(route.parts[0], 60)} \u00b7 ` : view === "services" ? "" : `${$("tabs").querySelector(`[data-view=${view}]`).textContent} \u00b7 `}txmirror`;
  const words = route.query.toLowerCase().split(/\s+/).filter(Boolean);
  const before = JSON.stringify([services.words, services.shown]);
  services.words = words;
  services.shown = services.chosen();
  $("view-services").classList.toggle("opened", services.shown !== null || route.view === "instances" || words.length > 0);
  if (model.known && before !== JSON.stringify([services.words, services.shown])) {
    services.arrange();
    services.arrangeServices();
  } else services.list.all = true;
  if (view === "services") {
    services.list.setActive(services.shown === null ? EVERYTHING : { key: services.shown });
    if (model.known) timeline.open(services.shown);
    if (before !== JSON.stringify([services.words, services.shown])) {
      $("detail").scrollTop = 0;
      if (narrow.matches) scrollTo(0, 0);
    }
  }
  if (view === "nodes") tree.show(route.parts);
  panel.sync();
  wake();
}

// -------------------------------------------------------------------------------------------------------------- Start

function pressed(event) {
  const typing = event.target.closest?.("input, select, textarea");
  if (event.key === "Escape") {
    if (panel.of !== null) panel.close();
    else if (event.target === $("search")) {
      if ($("search").value) search("");
      else $("search").blur();
    } else return;
    event.preventDefault();
  } else if (!typing && !event.ctrlKey && !event.altKey && !event.metaKey) {
    if (event.key === "/") {
      $("search").focus();
      $("search").select();
      event.preventDefault();
    } else if (/^[1-4]$/.test(event.key)) go(["services", "daemon", "nodes", "zookeeper"][event.key - 1]);
  }
}

function search(text) {
  $("search").value = text;
  const view = route.view === "services" ? "services" : "instances", names = route.view === "services" ? route.parts.slice(0, 1) : [];
  // Every letter would be a step back in the browser's history.
  history.replaceState(null, "", address(text || names.length ? view : "services", names, text));
  routed();
}

function start() {
  for (const id of ["tabs", "search-form", "strip", "keys"]) $(id).hidden = false;
  services.start();
  tree.start();
  $("search").addEventListener("input", () => search($("search").value));
  $("search").addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") {
      event.preventDefault();
      ($("instances").hidden ? $("service-list") : $("instances")).focus();
    }
  });
  $("search-form").addEventListener("submit", (event) => event.preventDefault());
  $("panel-close").addEventListener("click", () => panel.close());
  $("span").addEventListener("change", () => timeline.draw());
  $("outage-span").addEventListener("change", () => ensemble.drawOutages());
  narrow.addEventListener("change", () => { services.grid.all = true; wake(); });
  document.addEventListener("keydown", pressed);
  window.addEventListener("hashchange", routed);
  new ResizeObserver(() => timeline.draw()).observe($("timeline-drawing"));
  new ResizeObserver(() => ensemble.drawOutages()).observe($("outage-drawing"));
  setInterval(() => {
    tick();
    drawStrip();
    stream.check();
  }, 1000);
  setInterval(() => {
    if (document.hidden) return;
    if (route.view === "nodes" && stream.open) tree.refresh();
    timeline.draw();
    ensemble.drawOutages();
  }, 3000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { tick(); wake(); } });
  routed();
  stream.start();
}

start();
