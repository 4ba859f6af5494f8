// Shows the times on the page in the format and the time zone of the browser, with the name of the time zone.
"use strict";

const isSameDay = (one, other) => one.toDateString() === other.toDateString();

// The page's language in the browser's regional variant, such as en-GB for a page in en.
function locale() {
  const language = document.documentElement.lang;
  const preferred = navigator.languages || [];
  return preferred.find((tag) => tag.split("-")[0] === language) || language;
}

function showDates(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const date = new Date(time.dateTime);
    const isToday = isSameDay(date, new Date());
    const options = { hour: "numeric", minute: "2-digit", timeZoneName: "short" };
    Object.assign(options, isToday ? { second: "2-digit" } : { year: "numeric", month: "short", day: "numeric" });
    time.textContent = new Intl.DateTimeFormat(locale(), options).format(date);
  }
}

showDates(document);
