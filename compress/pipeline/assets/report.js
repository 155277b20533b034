'use strict';
// Sorting: every column head of a sortable table becomes a button. Values come from data-value; cells
// without one go by their text, and empty cells stay at the end.
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const up = head.getAttribute('aria-sort') !== 'ascending';
      heads.forEach(other => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const key = row => {
        const cell = row.cells[column];
        return 'value' in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
      };
      const body = table.tBodies[0];
      const order = (a, b) => {
        const x = key(a), y = key(b);
        if (x === '' || y === '') return (x === '') - (y === '');
        const sign = typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y));
        return up ? sign : -sign;
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}

// One chart at a time, where there are several to choose from. Without a script all of them show.
for (const group of document.querySelectorAll('.choices')) {
  const charts = [...group.querySelectorAll('[data-choice]')];
  if (charts.length < 2) continue;
  const tabs = document.createElement('div');
  tabs.className = 'tabs';
  tabs.setAttribute('role', 'group');
  tabs.setAttribute('aria-label', 'What the chart shows');
  const show = chosen => charts.forEach((chart, i) => {
    chart.hidden = chart !== chosen;
    tabs.children[i].setAttribute('aria-pressed', String(chart === chosen));
  });
  for (const chart of charts) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = chart.dataset.choice;
    button.addEventListener('click', () => show(chart));
    tabs.append(button);
  }
  group.prepend(tabs);
  show(charts[0]);
}

// Tips on points and columns, by mouse, touch and keyboard.
const tip = document.getElementById('tip');
const showTip = target => {
  const box = target.getBoundingClientRect();
  tip.textContent = target.dataset.tip;
  tip.hidden = false;
  const left = Math.min(Math.max(8, box.left + box.width / 2 - tip.offsetWidth / 2),
                        document.documentElement.clientWidth - tip.offsetWidth - 8);
  const above = box.top - tip.offsetHeight - 8;
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${(above > 4 ? above : box.bottom + 8) + scrollY}px`;
};
for (const type of ['pointerover', 'focusin'])
  document.addEventListener(type, event => {
    const target = event.target.closest?.('[data-tip]');
    if (target) showTip(target); else tip.hidden = true;
  });
document.addEventListener('focusout', () => { tip.hidden = true; });
document.addEventListener('keydown', event => { if (event.key === 'Escape') tip.hidden = true; });

for (const button of document.querySelectorAll('[data-copy]'))
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = 'copied';
    } catch {
      getSelection().selectAllChildren(button.parentElement.querySelector('code'));
      button.textContent = 'selected';
    }
  });

// Paper shows everything.
addEventListener('beforeprint', () => document.querySelectorAll('details').forEach(d => { d.open = true; }));
