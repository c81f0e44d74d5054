declare namespace App {
  interface Locals {
    session: import('nonstick/web').WebSession<import('./lib/sessions').Visit>
  }
}
