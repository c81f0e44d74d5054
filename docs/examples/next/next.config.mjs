/** @type {import('next').NextConfig} */
export default {
  // It is loaded from node_modules, as its clients of databases are no code for a bundler.
  serverExternalPackages: ['nonstick'],
}
