// Keeps what is live on a page up to date. Everything else works without it.
//
// A part of the page that is live names its event stream (data-live). The server sends HTML that it
// has made as it makes pages: to take the place of what is there ("replace"), or to come on top of
// it ("prepend"). Nothing is heard while the page is hidden or paused.

const AGAIN_MILLISECONDS = 5000;
const QUIET_MILLISECONDS = 10000;

class Region {
  constructor(element) {
    this.element = element;
    this.target = element.querySelector("[data-target]");
    this.state = element.querySelector("[data-state]");
    this.voice = element.querySelector("[data-say]");
    this.button = element.querySelector("[data-pause]");
    this.bar = element.querySelector("[data-live-bar]");
    this.source = null;
    this.isPaused = false;
    this.hasEnded = false;
    this.waits = 0;
    this.unsaid = 0;
    this.saidAt = 0;
    this.bar.hidden = false;
    this.button.addEventListener("click", () => this.pause(!this.isPaused));
    document.addEventListener("visibilitychange", () => this.follow());
    this.follow();
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    this.button.setAttribute("aria-pressed", String(isPaused));
    this.button.textContent = isPaused ? "Go on" : "Pause";
    this.follow();
  }

  follow() {
    clearTimeout(this.waits);
    if (this.hasEnded) return;
    if (this.isPaused || document.hidden) {
      this.source?.close();
      this.source = null;
      this.show("paused", "Paused");
    } else if (this.source === null) {
      this.listen();
    }
  }

  listen() {
    const source = new EventSource(this.element.dataset.live);
    this.source = source;
    this.show("waiting", "Connecting");
    source.addEventListener("open", () => this.show("live", "Live"));
    source.addEventListener("error", () => this.fail());
    source.addEventListener("replace", (event) => this.replace(event.data));
    source.addEventListener("prepend", (event) => this.prepend(event.data));
    source.addEventListener("say", (event) => this.say(event.data));
    source.addEventListener("end", () => this.end());
  }

  fail() {
    this.source?.close();
    this.source = null;
    this.show("broken", "Not live; trying again");
    this.waits = setTimeout(() => this.follow(), AGAIN_MILLISECONDS);
  }

  end() {
    this.hasEnded = true;
    this.source.close();
    this.show("broken", "Signed out: reload the page to sign in");
    this.button.hidden = true;
    this.say("Signed out");
  }

  replace(html) {
    this.target.replaceChildren(read(html));
  }

  prepend(html) {
    const rows = read(html);
    const count = rows.childElementCount;
    this.target.querySelector("[data-empty]")?.remove();
    this.target.prepend(rows);
    while (this.target.childElementCount > Number(this.element.dataset.most)) {
      this.target.lastElementChild.remove();
    }
    this.count(count);
  }

  // A voice that reads every row would never be silent: it says how many, now and then.
  count(rows) {
    this.unsaid += rows;
    if (Date.now() - this.saidAt >= QUIET_MILLISECONDS) {
      this.say(`${this.unsaid} ${this.element.dataset.counts}`);
      this.unsaid = 0;
      this.saidAt = Date.now();
    }
  }

  say(words) {
    this.voice.textContent = words;
  }

  show(kind, words) {
    this.bar.dataset.kind = kind;
    this.state.textContent = words;
  }
}

function read(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

for (const element of document.querySelectorAll("[data-live]")) {
  new Region(element);
}
