import { mount } from 'svelte';
import './app.css';
import App from './components/App.svelte';

hideToken();
const target = document.getElementById('app');
if (target === null) throw new Error('could not start the page: index.html has no element "app"');
mount(App, { target });

/** The server has set its cookie by now; the token needn't stay in the address bar, in sight and in the history. */
function hideToken(): void {
  const url = new URL(location.href);
  if (!url.searchParams.has('token')) return;
  url.searchParams.delete('token');
  history.replaceState(null, '', url);
}
