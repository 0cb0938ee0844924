// Sets the theme that was chosen before anything is drawn. A script of the classic kind, so that it runs first.
(() => {
  try {
    const theme = localStorage.getItem('relay.theme');
    if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
  } catch {
    // Without storage the theme is that of the system.
  }
})();
