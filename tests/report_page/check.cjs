// Opens a report page as its readers do and says what is wrong: accessibility (axe-core), errors on
// the console, requests to anywhere, sideways scrolling; light at a desk, dark on a phone, and print.
//
//   node check.cjs PAGE.html [screenshots-directory]
//
// Exit 0: nothing wrong. 1: what it printed. 77: node's playwright-core or axe-core, or a Chromium,
// is missing (ATTAR_NODE_MODULES names the folder of the former).
'use strict';
const fs = require('fs');
const path = require('path');

const skip = why => {
  console.log('skipped: ' + why);
  process.exit(77);
};
const places = [process.env.ATTAR_NODE_MODULES, process.cwd(), '/usr/lib/node_modules', '/usr/local/lib/node_modules',
                '/usr/share/nodejs'].filter(Boolean);
const find = name => {
  try {
    return require.resolve(name, {paths: places});
  } catch {
    skip(`${name} is not installed (npm install playwright-core axe-core; ATTAR_NODE_MODULES=DIR)`);
  }
};
const executable = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(fs.existsSync);
if (!executable) skip('no Chromium in /usr/bin');
const {chromium} = require(find('playwright-core'));
const axe = fs.readFileSync(find('axe-core/axe.min.js'), 'utf8');

const views = [
  {name: 'desk-light', colorScheme: 'light', viewport: {width: 1280, height: 900}},
  {name: 'phone-dark', colorScheme: 'dark', viewport: {width: 390, height: 844}},
];

async function inspect(browser, view, url, shots) {
  const problems = [];
  const page = await browser.newPage({viewport: view.viewport, colorScheme: view.colorScheme});
  page.on('console', message => message.type() === 'error' && problems.push('console: ' + message.text()));
  page.on('pageerror', error => problems.push('script: ' + error.message));
  page.on('request', request => request.url().startsWith('file:') || problems.push('request: ' + request.url()));
  const start = Date.now();
  await page.goto(url, {waitUntil: 'load'});
  const loaded = Date.now() - start;
  if (shots) await page.screenshot({path: path.join(shots, view.name + '.png'), fullPage: true});
  const buttons = await page.$$('.tabs button');
  for (const button of buttons) await button.click();
  for (const head of (await page.$$('th button')).slice(0, 3)) await head.click();
  await page.evaluate(() => document.querySelectorAll('details').forEach(d => { d.open = true; }));
  const [scroll, client] = await page.evaluate(
      () => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  if (scroll > client) problems.push(`the page is ${scroll} pixels wide in a window of ${client}`);
  await page.evaluate(axe);
  const result = await page.evaluate(() => window.axe.run(document));
  for (const violation of result.violations)
    for (const node of violation.nodes.slice(0, 3))
      problems.push(`${violation.id}: ${violation.help}: ${node.target.join(' ')}: ${node.html.slice(0, 120)}`);
  await page.close();
  return {loaded, passes: result.passes.length, problems};
}

(async () => {
  const [file, shots] = process.argv.slice(2);
  const url = 'file://' + path.resolve(file);
  if (shots) fs.mkdirSync(shots, {recursive: true});
  const browser = await chromium.launch({executablePath: executable, args: ['--no-sandbox', '--disable-gpu']});
  let wrong = 0;
  for (const view of views) {
    const {loaded, passes, problems} = await inspect(browser, view, url, shots);
    console.log(`${view.name}: loaded in ${loaded} ms, ${passes} accessibility rules passed, ${problems.length} problems`);
    for (const problem of problems) console.log('  ' + problem);
    wrong += problems.length;
  }
  if (shots) {
    const page = await browser.newPage();
    await page.goto(url);
    await page.pdf({path: path.join(shots, 'print.pdf'), format: 'A4'});
  }
  await browser.close();
  process.exit(wrong ? 1 : 0);
})().catch(error => {
  console.log('failed: ' + error.message);
  process.exit(1);
});
