/* How are the tests of the panel run? By Debian's chromium on a JupyterLab of their own, one after another.
 *
 * SANDBOX_LAB_PYTHON  python of the room that has JupyterLab (default: .venv/browser of this checkout)
 * SANDBOX_LAB_PORT    a free port (default 8899)
 * SANDBOX_PICTURES    a directory: pictures for the docs are written there
 */

const path = require('path');
const galata = require('@jupyterlab/galata/lib/playwright-config');

const checkout = path.resolve(__dirname, '..', '..');
const python = process.env.SANDBOX_LAB_PYTHON || path.join(checkout, '.venv', 'browser', 'bin', 'python');
const port = process.env.SANDBOX_LAB_PORT || '8899';
const url = `http://127.0.0.1:${port}`;

module.exports = {
  ...galata,
  testDir: './tests',
  testMatch: process.env.SANDBOX_PICTURES ? /\.(spec|pictures)\.ts$/ : /\.spec\.ts$/,
  reporter: [['list']],
  workers: Number(process.env.SANDBOX_LAB_WORKERS || 1),
  retries: 0,
  timeout: 120_000,
  expect: { timeout: 15_000 },
  use: {
    ...galata.use,
    baseURL: url,
    viewport: { width: 1280, height: 900 },
    video: 'off',
    trace: 'off',
    screenshot: 'only-on-failure',
    launchOptions: {
      executablePath: '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-dev-shm-usage']
    }
  },
  webServer: {
    command: `"${python}" -m jupyterlab --config "${path.join(__dirname, 'jupyter_server_test_config.py')}"`,
    url: `${url}/api`,
    reuseExistingServer: false,
    timeout: 120_000,
    gracefulShutdown: { signal: 'SIGTERM', timeout: 10_000 },
    env: { ...process.env, SANDBOX_LAB_PORT: port }
  }
};
