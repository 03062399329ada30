/**
 * Compares this device's clock with the hub's: sign-ins fail where they are minutes apart.
 */

const TOLERATED_SECONDS = 300;

const hub = document.querySelector("#eugo-hub-clock");
const shown = document.querySelector("#eugo-skew");
const seconds = Math.round((Date.now() - Date.parse(hub.dateTime)) / 1000);
const size = Math.abs(seconds);
if (size < 2) {
  shown.textContent = "Your device's clock agrees with it.";
} else {
  const words = size < 120 ? `${size} s` : `${Math.round(size / 60)} min`;
  const remedy = size > TOLERATED_SECONDS ? " Have it set by the network (NTP), then sign in again." : "";
  shown.textContent = `Your device's clock is ${words} ${seconds < 0 ? "behind" : "ahead"}.${remedy}`;
}
