// Serves the emulator on the port that is given, until the process ends.
const telegram = require('telegram-test-api');
const Server = telegram.default || telegram;
const port = Number(process.argv[2]);
new Server({ host: '127.0.0.1', port, storeTimeout: 3600 }).start().then(() => console.log('ready'));
