// Shows the moments on the page as the reader's own language and clock have them.
"use strict";

const sameDay = (one, other) => one.toDateString() === other.toDateString();

function showDates(within) {
  const language = document.documentElement.lang;
  for (const time of within.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    const today = sameDay(moment, new Date());
    const style = today ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" };
    time.textContent = new Intl.DateTimeFormat(language, style).format(moment);
  }
}

showDates(document);
