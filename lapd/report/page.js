// The page's own: contents that say where one is, and the start of everything.

/** Mark in the contents the part that is in view. */
function startContents() {
  const links = new Map([...document.querySelectorAll("#contents a")].map((link) => [link.hash.slice(1), link]));
  const places = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  const mark = () => {
    const past = places.filter((place) => place.getBoundingClientRect().top < 120);
    const current = past.at(-1) ?? places[0];
    for (const [id, link] of links) {
      if (id === current?.id) link.setAttribute("aria-current", "location");
      else link.removeAttribute("aria-current");
    }
  };
  document.addEventListener("scroll", mark, { passive: true });
  mark();
}

startDownloads();
startSorting();
startContents();
startItems();
