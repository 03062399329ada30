/**
 * The page of a volume while it is measured: it is loaded anew once that is done. Without this script it loads itself again.
 */

const status = document.querySelector("#eugo-measuring");
const { address, xsrf } = status.dataset;
const OFTEN = 1_500;

async function look() {
  try {
    const answer = await fetch(address, { headers: { "X-XSRFToken": xsrf } });
    if (answer.ok && !(await answer.json()).measuring) {
      location.reload();
      return;
    }
  } catch {
    // The service is away for a moment; the next look tells.
  }
  setTimeout(look, OFTEN);
}

setTimeout(look, OFTEN);
