// Package report opens the simulator's reports in a real browser: headless Chromium, driven through
// its DevTools protocol. What the browser shows is read back from the page, and from the pixels of
// the canvas where only they can tell.
//
// The failed runs come from planted bugs: their patches are applied to a copy of the repository, and
// what the copy's simulator finds first is reported.
//
// Chromium must be installed (on Debian: apt-get install --no-install-recommends chromium); without
// it the tests fail.
package report
