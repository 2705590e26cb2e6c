// Of a page that is served: ask how far the run is, and load the page anew only where it says something else.
(() => {
  const place = document.getElementById("live");
  const words = place.querySelector(".words");
  const ask = async () => {
    try {
      const answer = await fetch("/progress", { cache: "no-store" });
      const now = await answer.json();
      if (now.page !== place.dataset.page) {
        location.reload(); // the browser keeps the place in it
        return;
      }
      words.textContent = now.words;
      const bar = place.querySelector("progress");
      if (bar) [bar.value, bar.max] = [now.done, now.total];
    } catch {
      words.textContent = "LAPD serves this page no more. What it shows is from when it did.";
    }
    setTimeout(ask, 3000);
  };
  setTimeout(ask, 3000);
})();
