"use strict";
// Follows `swath ui`.

/// Returns a value with some of its parts changed. What stays equal stays the same object, so that
/// only what shows changed parts is drawn again. A patch is `[value]`, a new value, or `{ key:
/// patch }` for the keys of an object or the indices of a list, with `#` for the new length of a
/// list.
function patched(value, patch) {
  if (Array.isArray(patch)) return patch[0];
  const copy = Array.isArray(value) ? value.slice(0, patch["#"]) : { ...value };
  for (const [key, part] of Object.entries(patch))
    if (key !== "#") copy[key] = patched(value[key], part);
  return copy;
}

/// Follows the server, which sends the data once and then what changes in them. A page that is out
/// of sight closes its connection, because a browser has few for each server.
function followServer(app, status) {
  let [events, page] = [null, null];
  const show = (className, text) => {
    status.className = className;
    if (status.textContent !== text) status.textContent = text;
  };
  const connect = () => {
    if (events || document.hidden) return;
    events = new EventSource("events");
    events.addEventListener("page", ({ data }) => app.show((page = JSON.parse(data))));
    events.addEventListener("patch", ({ data }) => {
      // The sizes of the changes, for the tests.
      app.patchSizes = [...(app.patchSizes || []).slice(-99), data.length];
      app.show((page = patched(page, JSON.parse(data))));
    });
    events.addEventListener("open", () => show("on", "live"));
    events.addEventListener("error", () => {
      show("off", "not connected: is `swath ui` still running?");
      // The browser tries again by itself unless the server has refused.
      if (events && events.readyState === EventSource.CLOSED) {
        events = null;
        setTimeout(connect, 2000);
      }
    });
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return connect();
    if (events) events.close();
    events = null;
  });
  connect();
}
