// Shows the moments on the page as the reader's own language, habits and clock have them, and names the time zone.
"use strict";

const sameDay = (one, other) => one.toDateString() === other.toDateString();

// The page's language, as it is written where the reader lives: en-GB for a page in en.
function locale() {
  const language = document.documentElement.lang;
  const habits = navigator.languages || [];
  return habits.find((habit) => habit.split("-")[0] === language) || language;
}

function showDates(within) {
  for (const time of within.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    const today = sameDay(moment, new Date());
    const style = { hour: "numeric", minute: "2-digit", timeZoneName: "short" };
    Object.assign(style, today ? { second: "2-digit" } : { year: "numeric", month: "short", day: "numeric" });
    time.textContent = new Intl.DateTimeFormat(locale(), style).format(moment);
  }
}

showDates(document);
